import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";

const SERVER = `
  const server = require("node:net").createServer(() => {});
  server.listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => console.log(server.address().port));
`;
/** Tries that must find the queue of a backlog of 1 full: it takes two. */
const QUEUED_MAX = 8;

export interface SilentPort {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * A port of 127.0.0.1 that neither takes nor refuses a connection: its process is stopped and its queue full, so that
 * the kernel drops what else comes, as it is on a machine that hangs.
 */
export async function startSilentPort(): Promise<SilentPort> {
  const child = spawn(process.execPath, ["-e", SERVER], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const [printed] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(printed.toString());
  child.kill("SIGSTOP");
  const queued = Array.from({ length: QUEUED_MAX }, () => connect({ host: "127.0.0.1", port }).on("error", () => {}));
  // The queue is full once the kernel has answered as many as it holds; it answers loopback at once.
  await Promise.all(queued.slice(0, 2).map((socket) => once(socket, "connect")));
  return {
    port,
    async close() {
      for (const socket of queued) socket.destroy();
      child.kill("SIGKILL");
      await exited;
    },
  };
}
