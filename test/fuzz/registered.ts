import { parseInstanceKey, instanceKey, ETCD_PREFIX } from "../../contract/etcd-keys.ts";
import type { Outcome } from "./exchange.ts";
import type { EtcdWriter } from "./etcd-writer.ts";
import type { FuzzedRequest } from "./requests.ts";

/** What must be registered after all requests: every write that was accepted, and nothing of one that was refused. */
export interface Registered {
  observe(request: FuzzedRequest, outcome: Outcome): void;
  /** What etcd holds and should not, or the other way round. */
  differences(etcd: EtcdWriter): Promise<readonly string[]>;
}

/** `keys`: what is there before. */
export function createRegistered(keys: readonly string[]): Registered {
  const held = new Set(keys.filter((key) => parseInstanceKey(key) !== undefined));
  /** Where nobody can tell: no answer came, or it goes by itself after a while. */
  const open = new Set<string>();

  return {
    observe({ method, target }, outcome) {
      const key = keyOf(target);
      if (key === undefined || method === "GET") return;
      if (outcome.type !== "answered") {
        open.add(key);
        return;
      }
      const accepted = outcome.answers.some(({ status }) => status < 300);
      if (!accepted) return;
      if (method === "PUT") held.add(key);
      if (method === "DELETE") held.delete(key);
      if (method === "POST" && target.includes("/drain")) open.add(key);
    },
    async differences(etcd) {
      const found = (await etcd.keys(ETCD_PREFIX)).filter((key) => parseInstanceKey(key) !== undefined);
      const stored = new Set(found);
      return [
        ...found.filter((key) => !held.has(key) && !open.has(key)).map((key) => `${key} was never accepted`),
        ...[...held].filter((key) => !stored.has(key) && !open.has(key)).map((key) => `${key} was accepted, and lost`),
      ];
    },
  };
}

const PATH =
  /^\/v1(?:\/namespaces\/([^/]*))?\/services\/([^/]*)\/instances\/([^/?]*)(?:\/(?:drain|heartbeat))?(?:\?|$)/;

function keyOf(target: string): string | undefined {
  const [, namespace = "default", service = "", instance = ""] = PATH.exec(target) ?? [];
  try {
    const [ns, name, id] = [namespace, service, instance].map(decodeURIComponent) as [string, string, string];
    const key = instanceKey({ namespace: ns, service: name, instance: id });
    return parseInstanceKey(key) ? key : undefined;
  } catch {
    // No name is written so.
    return undefined;
  }
}
