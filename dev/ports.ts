import { createServer } from "node:net";
import type { Random } from "../kernel/random.ts";
import { tryLock, type KernelLock } from "../node/kernel-lock.ts";

/**
 * Below the range from which kernels take the ports of outgoing connections (32768 up on Linux): a server that was
 * stopped for a while finds its port free again, however many connections were opened meanwhile.
 */
const RANDOM_PORT_MIN = 20_000;
const RANDOM_PORT_MAX = 32_767;
const TRIES_MAX = 100;

export interface Ports {
  /** `wanted`, or another one where that is taken, and then `onTaken` is told both. */
  claim(wanted: number, onTaken: (wanted: number, chosen: number) => void): Promise<number>;
  claimAny(): Promise<number>;
  release(): void;
}

/**
 * Ports of 127.0.0.1 for processes that are yet to start, and may stop and start again: between those moments the port
 * is free, and what keeps another run from taking it is a lock of ours.
 */
export function createPorts(random: Random): Ports {
  const locks: KernelLock[] = [];
  const tryClaim = async (port: number) => {
    const lock = await tryLock(`port ${port}`);
    if (!lock) return false;
    if (await isPortFree(port)) {
      locks.push(lock);
      return true;
    }
    lock.release();
    return false;
  };
  const claimAny = async () => {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const port = randomPort(random);
      if (await tryClaim(port)) return port;
    }
    throw noPortFree();
  };
  return {
    async claim(wanted, onTaken) {
      if (await tryClaim(wanted)) return wanted;
      const chosen = await claimAny();
      onTaken(wanted, chosen);
      return chosen;
    },
    claimAny,
    release() {
      for (const lock of locks.splice(0)) lock.release();
    },
  };
}

/** A port of 127.0.0.1 that is free now. */
export async function findFreePort(random: Random): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = randomPort(random);
    if (await isPortFree(port)) return port;
  }
  throw noPortFree();
}

function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port }, () => server.close(() => resolve(true)));
  });
}

function randomPort(random: Random): number {
  return RANDOM_PORT_MIN + Math.floor(random() * (RANDOM_PORT_MAX - RANDOM_PORT_MIN + 1));
}

function noPortFree(): Error {
  return new Error(`No free port was found between ${RANDOM_PORT_MIN} and ${RANDOM_PORT_MAX} in ${TRIES_MAX} tries.`);
}
