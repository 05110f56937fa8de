import { constants, createHmac, generateKeyPairSync, sign, type KeyObject, type SigningOptions } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";

/** How the key set is answered: `ok` as it is, the others as their names say. */
export type IssuerMode =
  | { readonly type: "ok" }
  | { readonly type: "hang" }
  | { readonly type: "answer"; readonly status: number; readonly body: string; readonly location?: string };

export interface SigningKey {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** As it stands in a key set. */
  readonly jwk: Record<string, unknown>;
}

/** Someone who issues JWTs, with a key set on a socket of its own. Tokens are signed by node:crypto. */
export interface Issuer {
  readonly url: string;
  /** What the key set shows. */
  keys: readonly Record<string, unknown>[];
  /** Requests for the key set so far. */
  requests: number;
  mode(mode: IssuerMode): void;
  /** Answers what hangs. */
  answerHanging(keySet: object): void;
  close(): Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  let mode: IssuerMode = { type: "ok" };
  const hanging = new Set<ServerResponse>();
  const server = createServer((_request, response) => {
    issuer.requests += 1;
    if (mode.type === "hang") return void hanging.add(response);
    if (mode.type === "answer") {
      response.writeHead(mode.status, mode.location === undefined ? {} : { location: mode.location }).end(mode.body);
      return;
    }
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ keys: issuer.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the issuer has no port");
  const issuer: Issuer = {
    url: `http://127.0.0.1:${address.port}/key-set-4c1f`,
    keys: [],
    requests: 0,
    mode(next) {
      mode = next;
    },
    answerHanging(keySet) {
      for (const response of hanging) response.end(JSON.stringify(keySet));
      hanging.clear();
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return issuer;
}

const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

export function signingKey(alg: string, kid: string, modulusLength = 2048): SigningKey {
  const { privateKey, publicKey } =
    alg === "EdDSA"
      ? generateKeyPairSync("ed25519")
      : alg in CURVES
        ? generateKeyPairSync("ec", { namedCurve: CURVES[alg] ?? "" })
        : generateKeyPairSync("rsa", { modulusLength });
  return { alg, kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" } };
}

/** A JWT. `header` changes what stands in it, not how it is signed. */
export function signToken(key: SigningKey, claims: unknown, header: Record<string, unknown> = {}): string {
  const signed = [{ alg: key.alg, kid: key.kid, typ: "JWT", ...header }, claims].map(encode).join(".");
  return `${signed}.${sign(hashOf(key.alg), Buffer.from(signed), optionsOf(key)).toString("base64url")}`;
}

/** A JWT by HMAC, as who takes a public key for a shared secret would accept it. */
export function signWithSecret(secret: string, claims: unknown, header: Record<string, unknown>): string {
  const signed = [{ typ: "JWT", ...header }, claims].map(encode).join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function hashOf(alg: string): string | null {
  return alg === "EdDSA" ? null : `sha${alg.slice(2)}`;
}

function optionsOf({
  alg,
  privateKey: key,
}: SigningKey): SigningOptions & { key: KeyObject; dsaEncoding?: "ieee-p1363" } {
  if (alg.startsWith("ES")) return { key, dsaEncoding: "ieee-p1363" };
  if (alg.startsWith("PS")) {
    return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: Number(alg.slice(2)) / 8 };
  }
  return { key };
}
