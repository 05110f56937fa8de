import { ETCD_PREFIX } from "../../contract/etcd-keys.ts";
import { distributionOf, round } from "../support/distribution.ts";
import { countInstances } from "../support/instances.ts";
import { startRegistrarProcess } from "../support/registrar-process.ts";
import type { Figures, Measured } from "../support/result.ts";
import { startBenchEtcd, type BenchEtcd } from "../support/servers.ts";
import type { Stage } from "../support/stage.ts";
import { startTask } from "../support/task.ts";
import { cpuSecondsOf } from "../support/usage.ts";
import type { PutInput } from "./tasks/etcd3-puts.ts";
import type { RegisterInput, RegisterOutput } from "./tasks/http-registrations.ts";

const CONNECTIONS = 64;
const SERVICES = 1000;
/** Of one run: an agent takes 100,000 in all, and a fast machine would come to that. */
const REGISTRATIONS_MAX = 30_000;

/** Registrations acknowledged per second over HTTP, against a bare put loop of etcd3, turn about on one etcd. */
export async function measureRegistration(stage: Stage, short: boolean): Promise<Measured> {
  const durationMs = short ? 400 : 8000;
  const warmUpMs = short ? 100 : 3000;
  const rounds = short ? 1 : 2;
  const etcd = await startBenchEtcd(stage);
  const registrar = await startRegistrarProcess(stage, { name: "agent", role: "agent", etcd });
  const load = startTask<{ register: (input: RegisterInput) => Promise<RegisterOutput> }>(
    stage,
    import.meta.url,
    "./tasks/http-registrations.ts",
  );
  const puts = startTask<{ put: (input: PutInput) => Promise<RegisterOutput> }>(
    stage,
    import.meta.url,
    "./tasks/etcd3-puts.ts",
  );

  let from = 0;
  const ours = async (forMs: number) => {
    const request = { urls: [registrar.url], connectionsPerUrl: CONNECTIONS, services: SERVICES, from };
    const output = await load.call("register", { ...request, count: REGISTRATIONS_MAX, durationMs: forMs });
    from += output.acknowledged + output.failed;
    return output;
  };
  const bare = (forMs: number) =>
    puts.call("put", {
      endpoint: etcd.endpoint,
      ...etcd.user,
      prefix: `${ETCD_PREFIX}bare/`,
      concurrency: CONNECTIONS,
      services: SERVICES,
      durationMs: forMs,
    });

  stage.say("warming up");
  await bare(warmUpMs);
  await ours(warmUpMs);
  const bareRounds: Round[] = [];
  const ourRounds: Round[] = [];
  for (let index = 0; index < rounds; index++) {
    stage.say(`round ${index + 1} of ${rounds}`);
    bareRounds.push(await withCpu({ etcd: etcd.pid, client: puts.pid }, () => bare(durationMs)));
    ourRounds.push(
      await withCpu({ etcd: etcd.pid, registrar: registrar.pid, client: load.pid }, () => ours(durationMs)),
    );
  }
  const failed = ourRounds.reduce((sum, { output }) => sum + output.failed, 0);
  if (failed > 0) throw new Error(`${failed} registrations failed`);
  const held = await instancesHeld(registrar.url);
  if (held !== from) throw new Error(`${from} registrations were acknowledged, but the registrar holds ${held}`);
  await checkCommitted(etcd, from);

  const ratio = rateOf(ourRounds) / rateOf(bareRounds);
  return {
    workload: { connections: CONNECTIONS, services: SERVICES, seconds: (durationMs / 1000) * rounds, valueBytes: 400 },
    versions: { etcd: etcd.version },
    figures: { "bare etcd3 put loop": figuresOf(bareRounds), registrar: figuresOf(ourRounds) },
    goals: [
      {
        what: "registrations per second, to bare puts",
        actual: round(ratio, 2),
        bound: "at least",
        limit: 0.8,
        unit: "×",
      },
    ],
    notes: [
      "The load generator, the registrar and etcd are processes of their own on the same cores; the bare loop has one process less. What each used is in the table.",
      "Every registration is of a new instance; one lease for 127 of them in both.",
    ],
    raw: { bare: bareRounds.map(summary), registrar: ourRounds.map(summary) },
  };
}

interface Round {
  readonly output: RegisterOutput;
  readonly cpuSeconds: Readonly<Record<string, number>>;
}

async function withCpu(pids: Readonly<Record<string, number>>, run: () => Promise<RegisterOutput>): Promise<Round> {
  const read = () => Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuSecondsOf(pid)]));
  const before = read();
  const output = await run();
  const after = read();
  const used = Object.entries(after).map(([name, seconds]) => [name, seconds - (before[name] ?? 0)]);
  return { output, cpuSeconds: Object.fromEntries(used) as Record<string, number> };
}

function rateOf(rounds: readonly Round[]): number {
  const acknowledged = rounds.reduce((sum, { output }) => sum + output.acknowledged, 0);
  const tookMs = rounds.reduce((sum, { output }) => sum + output.tookMs, 0);
  return acknowledged / (tookMs / 1000);
}

function figuresOf(rounds: readonly Round[]): Figures {
  const latencies = distributionOf(rounds.flatMap(({ output }) => output.latenciesMs));
  const tookSeconds = rounds.reduce((sum, { output }) => sum + output.tookMs / 1000, 0);
  const cores: Record<string, number> = {};
  for (const name of Object.keys(rounds[0]?.cpuSeconds ?? {})) {
    const seconds = rounds.reduce((sum, { cpuSeconds }) => sum + (cpuSeconds[name] ?? 0), 0);
    cores[`${name} cores`] = round(seconds / tookSeconds, 2);
  }
  return {
    "per second": Math.round(rateOf(rounds)),
    "p50 ms": round(latencies.p50),
    "p99 ms": round(latencies.p99),
    ...cores,
  };
}

function summary({ output, cpuSeconds }: Round) {
  const { acknowledged, tookMs, latenciesMs } = output;
  return { acknowledged, tookMs: round(tookMs), latencyMs: distributionOf(latenciesMs), cpuSeconds };
}

async function instancesHeld(url: string): Promise<number> {
  const status = (await (await fetch(`${url}/v1/status`)).json()) as { readonly agent: { readonly instances: number } };
  return status.agent.instances;
}

/** An acknowledged registration is one that etcd has. */
async function checkCommitted(etcd: BenchEtcd, expected: number): Promise<void> {
  const committed = await countInstances(etcd, "default");
  if (committed !== expected) throw new Error(`${expected} were acknowledged, but etcd has ${committed}`);
}
