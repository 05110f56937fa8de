import type { Constant } from "./bundles.ts";
import { CALLER_HEADERS } from "./edge.ts";
import type { Workerd } from "./workerd.ts";

/** What every server adds by itself. */
const OF_THE_SERVER = ["content-length", "connection", "date", "transfer-encoding", "content-encoding"];

/** What a Worker answers to a path, for another one to answer it as a constant. */
export async function constantOf({ port }: Workerd, path: string): Promise<Constant> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: CALLER_HEADERS });
  const body = await response.text();
  if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${body}`);
  const headers = Object.fromEntries([...response.headers].filter(([name]) => !OF_THE_SERVER.includes(name)));
  return { body, headers };
}
