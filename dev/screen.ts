import { AWAY_MS, DEMO_TTL_SECONDS, PRESENT_MS } from "./demo/services.ts";
import type { Line } from "./line.ts";
import { RESTART_DELAY_MS } from "./supervisor.ts";

const LOOKUP = 'curl -si -H "Authorization: Bearer $FINGERPOST_RESOLVER_TOKEN"';

/**
 * The one screen that people get: where everything is, and what to try. Two spaces begin what is to be read, four what
 * is to be pasted.
 */
export function renderScreen(line: Line, logs: string): string {
  const { etcd, rest, registrar, resolver, demo } = line;
  const restartSeconds = RESTART_DELAY_MS / 1000;
  const address = (name: string, url: string, pid: number | undefined) =>
    `  ${name.padEnd(10)} ${url.padEnd(24)} ${pid === undefined ? "not ours" : `pid ${pid}`}`;
  const redis = rest.own ? [address("Redis", new URL(rest.own.redisUrl).host, rest.own.redis.pid)] : [];
  const web = demo.find(({ name }) => name === "web-1");
  return [
    "",
    "Everything runs, and is reached from this machine only:",
    address("resolver", resolver.url, resolver.part.pid),
    address("registrar", registrar.url, registrar.part.pid),
    address("gateway", rest.url, rest.own?.gateway.pid),
    address("etcd", etcd.url, etcd.part?.pid),
    ...redis,
    "",
    "Paste these two lines into another terminal, in this folder:",
    `    export RESOLVER=${resolver.url} REGISTRAR=${registrar.url}`,
    `    export FINGERPOST_RESOLVER_TOKEN=${resolver.token} FINGERPOST_REGISTRAR_TOKEN=${registrar.token}`,
    "",
    ...(web ? demoCommands(web.pid) : ownCommands),
    ...(etcd.part ? killCommands("etcd", etcd.part.pid, "answers go on, and tell how their age grows") : []),
    ...(rest.own ? killCommands("Redis", rest.own.redis.pid, "answers go on as last-known-good") : []),
    `What ends by itself or is killed is started again after ${restartSeconds} s. Logs: ${logs}`,
    "Ctrl-C ends all of it.",
    "",
  ].join("\n");
}

const ownCommands = [
  "Register something, and look it up:",
  '    curl -si -X PUT -H "Authorization: Bearer $FINGERPOST_REGISTRAR_TOKEN" -H "Content-Type: application/json" \\',
  '      -d \'{"address":"127.0.0.1","port":9000,"ttlSeconds":600}\' $REGISTRAR/v1/services/web/instances/web-1',
  `    ${LOOKUP} $RESOLVER/v1/services/web`,
  "",
];

function demoCommands(pid: number): readonly string[] {
  return [
    "Look a service up, then let one instance be picked:",
    `    ${LOOKUP} $RESOLVER/v1/services/web`,
    `    ${LOOKUP} $RESOLVER/v1/services/web/pick`,
    "The same as a table, and all names:",
    "    npm run --silent fingerpost -- lookup web --resolver $RESOLVER",
    "    npm run --silent fingerpost -- ls --resolver $RESOLVER",
    `See batch-2 come and go (${PRESENT_MS / 1000} s there, ${AWAY_MS / 1000} s away):`,
    `    ${LOOKUP} $RESOLVER/v1/services/batch`,
    `Kill web-1: it is down ${DEMO_TTL_SECONDS} s later, and then no more among the answers:`,
    `    kill -9 ${pid}`,
    `    ${LOOKUP} $RESOLVER/v1/services/web`,
    "",
  ];
}

function killCommands(name: string, pid: number, effect: string): readonly string[] {
  return [
    `Stop ${name} and look up again: ${effect}:`,
    `    kill -9 ${pid}`,
    `    ${LOOKUP} $RESOLVER/v1/services/web`,
    "",
  ];
}
