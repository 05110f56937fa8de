import { generate } from "selfsigned";

/** PEM text, made for one run of the tests: no key is ever kept. */
export interface Certificates {
  readonly ca: string;
  readonly server: { readonly cert: string; readonly key: string };
  readonly client: { readonly cert: string; readonly key: string };
}

const EC = { keyType: "ec", curve: "P-256", algorithm: "sha256" } as const;

/** An authority, and certificates by it for the server `localhost` and for the etcd user `commonName`. */
export async function makeCertificates(commonName: string): Promise<Certificates> {
  const authority = await generate([{ name: "commonName", value: "test authority" }], {
    ...EC,
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const ca = { key: authority.private, cert: authority.cert };
  const server = await generate([{ name: "commonName", value: "localhost" }], {
    ...EC,
    ca,
    extensions: [
      { name: "basicConstraints", cA: false },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] },
    ],
  });
  const client = await generate([{ name: "commonName", value: commonName }], {
    ...EC,
    ca,
    extensions: [
      { name: "basicConstraints", cA: false },
      { name: "extKeyUsage", clientAuth: true },
    ],
  });
  return {
    ca: authority.cert,
    server: { cert: server.cert, key: server.private },
    client: { cert: client.cert, key: client.private },
  };
}
