import { convertV4MiniflareOptions, Miniflare } from "miniflare";

export interface Isolate {
  /** Of a socket of workerd's own, without a proxy between. */
  readonly url: string;
  readonly port: number;
}

export interface IsolateOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Without one it is an isolate of a data centre of its own, whose cache is always empty. */
  readonly colo: boolean;
  /** Bound to a KV namespace, which is one for all that are. */
  readonly kv: boolean;
}

export interface Isolates<Name extends string> {
  readonly by: Readonly<Record<Name, Isolate>>;
  close(): Promise<void>;
}

/** Several isolates of one built Worker in one workerd: what they share, they share through Cloudflare's own APIs. */
export async function startIsolates<const Name extends string>(
  script: string,
  isolates: Readonly<Record<Name, IsolateOptions>>,
): Promise<Isolates<Name>> {
  const names = Object.keys(isolates) as Name[];
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: names.map((name) => ({
        name,
        modules: true,
        script,
        compatibilityDate: "2026-10-01",
        bindings: { ...isolates[name].env },
        cacheAPI: isolates[name].colo,
        ...(isolates[name].kv ? { kvNamespaces: { FINGERPOST_KV: "copies" } } : {}),
        unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
      })),
    }),
  );
  const started = await Promise.all(
    names.map(async (name) => {
      const { origin, port } = await miniflare.unsafeGetDirectURL(name);
      return [name, { url: origin, port: Number(port) }] as const;
    }),
  );
  return {
    by: Object.fromEntries(started) as Record<Name, Isolate>,
    close: () => miniflare.dispose(),
  };
}
