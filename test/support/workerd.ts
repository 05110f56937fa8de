import { createRequire } from "node:module";
import { connect } from "node:net";

const COMPATIBILITY_DATE = "2026-10-01";

export interface WorkerdConfig {
  readonly port: number;
  /** The modules of the Worker by name, the first of them its entry; paths from the folder of the configuration. */
  readonly modules: readonly { readonly name: string; readonly path: string }[];
  /** The path of the script that stands behind the Cache API. */
  readonly colo: string;
  /** Names of what its environment has of the process'. */
  readonly variables: readonly string[];
  /** Of V8, for the whole process. */
  readonly v8Flags?: readonly string[];
}

/** The path of the workerd that miniflare brings. */
export function workerdCommand(): string {
  const { default: command } = createRequire(import.meta.resolve("miniflare"))("workerd") as { default: string };
  return command;
}

/**
 * One isolate of a Worker, as `workerd serve` reads it: no proxy stands before it, and the process' CPU and memory are
 * the Worker's. Values come from the environment: the file holds no secret.
 */
export function workerdConfiguration(config: WorkerdConfig): string {
  const { port, modules, colo, variables, v8Flags = [] } = config;
  const bindings = variables.map((name) => `(name = "${name}", fromEnvironment = "${name}")`).join(", ");
  const modulesOf = (all: WorkerdConfig["modules"]) =>
    `modules = [${all.map(({ name, path }) => `(name = "${name}", esModule = embed "${path}")`).join(", ")}]`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "colo", worker = .colo),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
  v8Flags = [${v8Flags.map((flag) => `"${flag}"`).join(", ")}],
);
const main :Workerd.Worker = (
  ${modulesOf(modules)},
  compatibilityDate = "${COMPATIBILITY_DATE}",
  bindings = [${bindings}],
  cacheApiOutbound = "colo",
);
const colo :Workerd.Worker = (
  ${modulesOf([{ name: "colo.js", path: colo }])},
  compatibilityDate = "${COMPATIBILITY_DATE}",
);
`;
}

/** Whether there is somebody at the port, without asking anything. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
