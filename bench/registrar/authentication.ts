import { round } from "../support/distribution.ts";
import { countInstances } from "../support/instances.ts";
import type { Figures, Goal, Measured } from "../support/result.ts";
import { startBenchEtcd, type TokenOptions } from "../support/servers.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { startFleet, type FleetKind } from "./fleets.ts";

const SECONDS_PER_HOUR = 3600;
/** Of simple tokens at the server's default, 300 s. */
const LIFETIMES_PER_HOUR = 12;

interface Scale {
  readonly instances: number;
  /** Registrars of a run each, with simple tokens. */
  readonly agents: readonly number[];
  readonly jwtAgents: number;
  readonly ttlSeconds: number;
  /** Of the baselines. */
  readonly baselineSeconds: number;
  readonly steadySeconds: number;
  readonly restartSeconds: number;
  readonly simpleTtlSeconds: number;
  readonly jwtTtlSeconds: number;
  readonly jwtSeconds: number;
}

/**
 * Simple tokens live as long as etcd has it by default, and the steady state lasts two of their lives. The leases' TTL is
 * about as long as the way of the incident had them.
 */
const FULL: Scale = {
  instances: 4000,
  agents: [1, 40],
  jwtAgents: 40,
  ttlSeconds: 60,
  baselineSeconds: 60,
  steadySeconds: 660,
  restartSeconds: 15,
  simpleTtlSeconds: 300,
  jwtTtlSeconds: 10,
  jwtSeconds: 25,
};
const SHORT: Scale = {
  instances: 40,
  agents: [2],
  jwtAgents: 1,
  ttlSeconds: 5,
  baselineSeconds: 1.5,
  steadySeconds: 1.5,
  restartSeconds: 3,
  simpleTtlSeconds: 5,
  jwtTtlSeconds: 2,
  jwtSeconds: 2,
};

interface Run {
  readonly subject: string;
  readonly kind: FleetKind;
  readonly tokens: TokenOptions;
  readonly seconds: number;
  /** How long to look on after a restart of etcd; 0: without one. */
  readonly restartSeconds: number;
}

interface Outcome {
  readonly run: Run;
  readonly version: string;
  /** Of the steady state, as it really was. */
  readonly seconds: number;
  readonly atStart: number;
  readonly steady: number;
  readonly afterRestart: number | undefined;
  readonly lost: number;
  readonly renewed: number | undefined;
  readonly failed: number | undefined;
  readonly etcdCores: number;
  readonly clientCores: number;
}

/** What it costs in Authenticates to stay registered, and whether that succeeds. */
export async function measureAuthentication(stage: Stage, short: boolean): Promise<Measured> {
  const scale = short ? SHORT : FULL;
  const outcomes = await measureRuns(stage, short, scale);
  return {
    workload: { ...scale, agents: scale.agents.join(" and "), bcryptCost: 10 },
    versions: { etcd: outcomes[0]?.version ?? "unknown" },
    figures: Object.fromEntries(outcomes.map((outcome) => [outcome.run.subject, figuresOf(outcome, scale)])),
    goals: outcomes.flatMap(goalsOf),
    notes: [
      "KeepAliveOnce: a new client and connection for each renewal, every 30 s for each instance, evenly spread; one try, with 5 s for the Authenticate and 5 s for the renewal. More crowding and retries, as there were in the incident, make it worse.",
      "etcd3: one lease and one stream for each instance, 100 instances a client.",
      "Registrars are processes of their own, as on so many hosts; the instances registered over HTTP.",
      "Simple tokens live 300 s without use, etcd's default. Where they live shorter, a registrar loses one or a few to learn so, once in the life of its process.",
      "The runs of registrars with simple tokens are made at the same time, each with an etcd of its own.",
      "Authenticates are etcd's own count. Those of the steady state begin once every instance is registered. Lost is how many keys etcd no longer has in the end.",
    ],
    raw: outcomes,
  };
}

async function measureRuns(stage: Stage, short: boolean, scale: Scale): Promise<readonly Outcome[]> {
  // At once where no figure is kept; else one after the other, each with the machine to itself.
  if (short) return await Promise.all(runsOf(scale).map((run) => measureRun(stage, run, scale)));
  const outcomes: Outcome[] = [];
  for (const runs of groupsOf(runsOf(scale))) {
    outcomes.push(...(await Promise.all(runs.map((run) => measureRun(stage, run, scale)))));
  }
  return outcomes;
}

/** What lasts for minutes and takes next to no CPU is made at the same time. */
function groupsOf(runs: readonly Run[]): readonly (readonly Run[])[] {
  const isLong = ({ kind, tokens }: Run) => kind.type === "registrars" && tokens.type === "simple";
  return [...runs.filter((run) => !isLong(run)).map((run) => [run]), runs.filter(isLong)];
}

function runsOf(scale: Scale): readonly Run[] {
  const { baselineSeconds, steadySeconds, restartSeconds, jwtSeconds } = scale;
  const simple: TokenOptions = { type: "simple", ttlSeconds: scale.simpleTtlSeconds };
  const jwt: TokenOptions = { type: "jwt", ttlSeconds: scale.jwtTtlSeconds };
  const leases: FleetKind = { type: "etcd3-leases" };
  const registrars = (agents: number): FleetKind => ({ type: "registrars", agents });
  const baseline = { tokens: simple, seconds: baselineSeconds };
  const steady = { tokens: simple, seconds: steadySeconds, restartSeconds };
  const withJwt = { tokens: jwt, seconds: jwtSeconds, restartSeconds: 0 };
  const named = (agents: number) => (agents === 1 ? "1 registrar" : `${agents} registrars`);
  return [
    { subject: "KeepAliveOnce by fresh clients", kind: { type: "keep-alive-once" }, ...baseline, restartSeconds: 0 },
    { subject: "etcd3, a lease and a stream each", kind: leases, ...baseline, restartSeconds },
    ...scale.agents.map((agents) => {
      return { subject: named(agents), kind: registrars(agents), ...steady };
    }),
    { subject: "JWT: etcd3, a lease and a stream each", kind: leases, ...withJwt },
    { subject: `JWT: ${named(scale.jwtAgents)}`, kind: registrars(scale.jwtAgents), ...withJwt },
  ];
}

async function measureRun(whole: Stage, run: Run, { instances, ttlSeconds }: Scale): Promise<Outcome> {
  // A stage of its own: what the last run started must not be in the way of the next.
  const stage = whole.own(createStage("authentication", whole.signal));
  stage.say(`${run.subject}: starting`);
  const etcd = await startBenchEtcd(stage, run.tokens);
  const first = await etcd.counters();
  const fleet = await startFleet(stage, run.kind, { etcd, instances, ttlSeconds });
  const before = await etcd.counters();
  const clientCpuBefore = fleet.clientCpuSeconds();
  stage.say(`${run.subject}: ${run.seconds} s of steady state`);
  await stage.pause(run.seconds * 1000);
  // Before etcd's count, which thus has every Authenticate of theirs.
  const { renewed, failed } = await fleet.report();
  const after = await etcd.counters();
  const clientCpuSeconds = fleet.clientCpuSeconds() - clientCpuBefore;

  let afterRestart: number | undefined;
  if (run.restartSeconds > 0) {
    stage.say(`${run.subject}: etcd restarts, then ${run.restartSeconds} s`);
    await etcd.kill("SIGTERM");
    await etcd.start();
    await stage.pause(run.restartSeconds * 1000);
    afterRestart = (await etcd.counters()).authenticates;
  }
  const lost = instances - (await countInstances(etcd, "default"));
  const seconds = (after.atMs - before.atMs) / 1000;
  await stage.close();
  return {
    run,
    version: etcd.version,
    seconds,
    atStart: before.authenticates - first.authenticates,
    steady: after.authenticates - before.authenticates,
    afterRestart,
    lost,
    renewed,
    failed,
    etcdCores: round((after.cpuSeconds - before.cpuSeconds) / seconds, 2),
    clientCores: round(clientCpuSeconds / seconds, 2),
  };
}

function figuresOf(outcome: Outcome, { instances }: Scale): Figures {
  const { run, seconds, atStart, steady, afterRestart, lost, renewed, failed, etcdCores, clientCores } = outcome;
  return {
    instances,
    "Authenticates at the start": atStart,
    "in the steady state": steady,
    "per hour at that rate": Math.round((steady / seconds) * SECONDS_PER_HOUR),
    "after etcd's restart": afterRestart ?? "",
    "renewals by fresh clients": run.kind.type === "keep-alive-once" ? (renewed ?? "") : "",
    "of them failed": run.kind.type === "keep-alive-once" ? (failed ?? "") : "",
    "instances lost": lost,
    "etcd cores": etcdCores,
    "client cores": clientCores,
  };
}

function goalsOf({ run, seconds, steady, afterRestart, lost }: Outcome): readonly Goal[] {
  if (run.kind.type !== "registrars") return [];
  const { agents } = run.kind;
  const goal = (what: string, actual: number, limit: number): Goal => {
    return { what: `${run.subject}: ${what}`, actual, bound: "at most", limit, unit: "" };
  };
  const lifetimes = round(seconds / run.tokens.ttlSeconds);
  // So many lifetimes can end in a time that begins anywhere in one.
  const ends = Math.floor(lifetimes) + 1;
  const limit = run.tokens.type === "jwt" ? agents * ends : (agents * lifetimes) / LIFETIMES_PER_HOUR;
  const steadily = goal(`Authenticates in ${lifetimes} lifetimes of a token`, steady, round(limit, 2));
  const restart = afterRestart === undefined ? [] : [goal("Authenticates after etcd's restart", afterRestart, agents)];
  return [steadily, ...restart, goal("instances lost", lost, 0)];
}
