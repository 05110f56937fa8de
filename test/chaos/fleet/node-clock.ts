import { connect } from "node:net";
import { fileURLToPath } from "node:url";

const CLOCK_TIMEOUT_MS = 5000;
const PRELOAD = fileURLToPath(new URL("clock-preload.ts", import.meta.url));

/** What a process of this name is started with in this life, so that its clock can be set off. */
export function clockImports(name: string, life: number) {
  return { modules: [PRELOAD], env: { CHAOS_CLOCK_ADDRESS: addressOf(name, life) } };
}

export function setNodeClock(name: string, life: number, offsetMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let told = "";
    const socket = connect(`\0${addressOf(name, life)}`, () => socket.write(String(offsetMs)));
    socket.setTimeout(CLOCK_TIMEOUT_MS, () => socket.destroy(new Error(`${name} does not answer`)));
    socket.on("data", (chunk) => (told += chunk.toString()));
    socket.on("error", reject);
    socket.on("close", () => (told === "set" ? resolve() : reject(new Error(`the clock of ${name} could not be set`))));
  });
}

/** Of this fleet and this life alone. */
function addressOf(name: string, life: number): string {
  return `fingerpost-chaos-${process.pid}-${name}-${life}`;
}
