import { until } from "../../support/until.ts";
import { messageOf } from "../../../kernel/errors.ts";
import type { EtcdCluster, EtcdMember } from "../fleet/fleet.ts";

const CALL_TIMEOUT_MS = 10_000;
/** An election, and members that catch up, on two busy cores. */
const DONE_WITHIN_MS = 30_000;

/** etcd refused what was asked, and will refuse it again. */
export class EtcdRefusal extends Error {
  override readonly name = "EtcdRefusal";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Codes of gRPC (https://grpc.io/docs/guides/status-codes/) that say nothing of what was asked, only of now. */
const PASSING = [1, 2, 4, 14, 16];

/** What an operator does as root, by etcd's JSON over HTTP, directly and over no line. */
export interface EtcdAdmin {
  /** Until a member has done it, or one has refused it for good: then it rejects with an EtcdRefusal. */
  call(path: string, body: object): Promise<Record<string, unknown>>;
  /** The same of one member, which must run. */
  callAt(member: EtcdMember, path: string, body: object): Promise<Record<string, unknown>>;
  /** Made so far: whoever counts etcd's must know of them. */
  authentications(): number;
}

export function createEtcdAdmin({ members, root }: Pick<EtcdCluster, "members" | "root">): EtcdAdmin {
  /** By member and life: each keeps its own. */
  const tokens = new Map<string, string>();
  let authentications = 0;

  async function post(member: EtcdMember, path: string, body: object, token?: string) {
    const response = await fetch(`${member.url}/v3/${path}`, {
      method: "POST",
      headers: token === undefined ? {} : { authorization: token },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    const answer = (await response.json()) as Record<string, unknown>;
    const code = Number(answer["code"] ?? 0);
    if (response.ok && code === 0) return answer;
    throw new EtcdRefusal(code, `etcd ${path} at ${member.name}: ${String(answer["message"] ?? answer["error"])}`);
  }

  async function once(member: EtcdMember, path: string, body: object) {
    const key = `${member.name} ${member.life()}`;
    let token = tokens.get(key);
    if (token === undefined) {
      authentications++;
      const answer = await post(member, "auth/authenticate", { name: root.username, password: root.password });
      token = String(answer["token"]);
      tokens.set(key, token);
    }
    try {
      return await post(member, path, body, token);
    } catch (error) {
      if (error instanceof EtcdRefusal && error.code === 16) tokens.delete(key);
      throw error;
    }
  }

  async function among(all: readonly EtcdMember[], path: string, body: object) {
    let refused: EtcdRefusal | undefined;
    const answer = await until(
      `etcd ${path}`,
      async () => {
        let last: unknown = new Error("no member runs");
        for (const member of all) {
          if (member.state() !== "running") continue;
          try {
            return await once(member, path, body);
          } catch (error) {
            if (error instanceof EtcdRefusal && !PASSING.includes(error.code)) {
              refused = error;
              return {};
            }
            last = error;
          }
        }
        throw new Error(messageOf(last));
      },
      { timeoutMs: DONE_WITHIN_MS },
    );
    if (refused) throw refused;
    return answer;
  }

  return {
    call: (path, body) => among(members, path, body),
    callAt: (member, path, body) => among([member], path, body),
    authentications: () => authentications,
  };
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
