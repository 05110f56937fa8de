import type { Credentials } from "../../dev/etcd.ts";

/** Writes and reads etcd as it is, whatever our own code would refuse: by its JSON gateway, as root. */
export interface EtcdWriter {
  put(key: string, value: Buffer): Promise<void>;
  delete(key: string): Promise<void>;
  keys(prefix: string): Promise<readonly string[]>;
}

export async function createEtcdWriter(endpoint: string, root: Credentials): Promise<EtcdWriter> {
  const call = async (path: string, body: object, authorization?: string): Promise<unknown> => {
    const response = await fetch(`${endpoint}/v3/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(authorization === undefined ? {} : { authorization }) },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`etcd answered ${path} with ${response.status}: ${await response.text()}`);
    return response.json();
  };
  const credentials = { name: root.username, password: root.password };
  const { token } = (await call("auth/authenticate", credentials)) as { readonly token: string };
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return {
    async put(key, value) {
      await call("kv/put", { key: base64(key), value: value.toString("base64") }, token);
    },
    async delete(key) {
      await call("kv/deleterange", { key: base64(key) }, token);
    },
    async keys(prefix) {
      const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
      const range = { key: base64(prefix), range_end: base64(end), keys_only: true };
      const { kvs = [] } = (await call("kv/range", range, token)) as {
        readonly kvs?: readonly { readonly key: string }[];
      };
      return kvs.map(({ key }) => Buffer.from(key, "base64").toString());
    },
  };
}
