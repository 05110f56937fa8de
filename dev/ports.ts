import { createServer } from "node:net";
import type { Random } from "../kernel/random.ts";

/**
 * Below the range from which kernels take the ports of outgoing connections (32768 up on Linux): a server that was
 * stopped for a while finds its port free again, however many connections were opened meanwhile.
 */
const RANDOM_PORT_MIN = 20_000;
const RANDOM_PORT_MAX = 32_767;
const TRIES_MAX = 100;

/** Whether `port` of 127.0.0.1 can be listened on right now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A free port of 127.0.0.1. Another process may still take it first, so who uses it names the port when it fails. */
export async function findFreePort(random: Random): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = RANDOM_PORT_MIN + Math.floor(random() * (RANDOM_PORT_MAX - RANDOM_PORT_MIN + 1));
    if (await isPortFree(port)) return port;
  }
  throw new Error(`No free port found between ${RANDOM_PORT_MIN} and ${RANDOM_PORT_MAX} in ${TRIES_MAX} tries.`);
}

/** `wanted` where it is free, otherwise another one, and then `onTaken` is told both. */
export async function choosePort(
  wanted: number,
  random: Random,
  onTaken: (wanted: number, chosen: number) => void,
): Promise<number> {
  if (await isPortFree(wanted)) return wanted;
  const chosen = await findFreePort(random);
  onTaken(wanted, chosen);
  return chosen;
}
