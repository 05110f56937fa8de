import type { GuaranteeName } from "../guarantees/guarantee.ts";
import type { Change } from "./change.ts";

/** A build that breaks one guarantee on purpose, and how to see it: whoever checks the guarantee must catch it. */
export interface BrokenBuild {
  readonly name: string;
  /** What must be found broken. Others may be as well. */
  readonly guarantee: GuaranteeName;
  /** One sentence: what is wrong with it. */
  readonly about: string;
  readonly changes: readonly Change[];
  /** What brings it to light, at times after the phase of faults began. */
  readonly faults: string;
  /** Of the phase of faults: as short as shows it. */
  readonly seconds: number;
  /** The last phase that is needed. */
  readonly until: "faults" | "end";
}

export const BROKEN_BUILDS: readonly BrokenBuild[] = [
  {
    name: "lookups-reach-etcd",
    guarantee: "isolation",
    about: "The resolver on Node asks etcd at each lookup, too.",
    changes: [
      {
        file: "src/node.ts",
        from: "(request) => resolver.fetch(request, { background })",
        to: `(request) => {
    const { existsSync, readFileSync } = process.getBuiltinModule("node:fs");
    const file = process.env.BROKEN_ETCD_URL_FILE;
    const asked = { method: "POST", body: JSON.stringify({ key: "AA==" }) };
    if (existsSync(file)) {
      background(fetch(readFileSync(file, "utf8") + "/v3/kv/range", asked).then((answer) => answer.text()));
    }
    return resolver.fetch(request, { background });
  }`,
      },
    ],
    faults: "none",
    seconds: 2,
    until: "end",
  },
  {
    name: "forgets-without-redis",
    guarantee: "availability",
    about: "What a resolver holds is not served when Redis does not answer.",
    changes: [
      {
        file: "src/lookup/lookups.ts",
        from: "return entry ? found(entry, from, cacheStatus, since) : lookupDeep(service, background, startedAt, since);",
        to: 'return { type: "nothing" };',
      },
      {
        // With the breaker open what is held would be served without another try.
        file: "src/lookup/lookups.ts",
        from: "if (age > swrMs && breaker.closed() && (since === undefined || ageOf(since) < budgetMs)) {",
        to: "if (age > swrMs) {",
      },
    ],
    faults: "redis-kill@500ms+6s",
    seconds: 7,
    until: "faults",
  },
  {
    name: "lets-all-depart",
    guarantee: "never empty by accident",
    about: "The guard holds nothing back: whatever ends with its lease is gone.",
    changes: [
      {
        file: "registrar/publisher/guard/guard.ts",
        from: "if (reason === undefined) {",
        to: "if (reason !== null) {",
      },
    ],
    faults: "agent-kill@1s+14s#2",
    seconds: 18,
    until: "faults",
  },
  {
    name: "goes-back",
    guarantee: "forward only",
    about: "A resolver takes whatever it reads last, also what is older.",
    changes: [
      {
        file: "src/memory/namespace-state.ts",
        from: 'if (order < 0) return "older";',
        to: "",
      },
      {
        file: "src/memory/namespace-state.ts",
        from: "if (existing && (order < 0 || (order === 0 &&",
        to: "if (existing && ((order === 0 &&",
      },
      {
        // Without it a reading would be laid over the held one only where the ring names it.
        file: "src/memory/namespace-state.ts",
        from: "const continuous = continues(previous, next);",
        to: "const continuous = false;",
      },
    ],
    // The leader stands still while what it has written is lost: it would write it anew at once.
    faults: "redis-promotion@1s+3s,publisher-leader-pause@3s+4s",
    seconds: 8,
    until: "faults",
  },
  {
    name: "keeps-the-deregistered",
    guarantee: "no ghosts",
    about: "An agent answers a deregistration without deleting anything in etcd.",
    changes: [
      {
        file: "registrar/agent/writes.ts",
        from: 'const found = await tryOnce(key, lease, expected, { type: "delete", key });',
        to: 'return "done"; const found = await tryOnce(key, lease, expected, { type: "delete", key });',
      },
    ],
    faults: "none",
    seconds: 8,
    until: "faults",
  },
  {
    name: "drops-changes",
    guarantee: "convergence",
    about: "The publisher forgets what changes in the phase of faults.",
    changes: [
      {
        file: "registrar/publisher/backlog.ts",
        from: "for (const service of services) if (!waiting.has(service)) waiting.set(service, nowMs);",
        to: `if (process.getBuiltinModule("node:fs").existsSync(process.env.BROKEN_FROM_FILE)) return;
      for (const service of services) if (!waiting.has(service)) waiting.set(service, nowMs);`,
      },
    ],
    faults: "none",
    seconds: 6,
    until: "end",
  },
  {
    name: "never-aged",
    guarantee: "honest age",
    about: "Every answer is told to be new.",
    changes: [
      {
        file: "src/lookup/provenance.ts",
        from: "return Math.max(0, Math.round(Math.max(unconfirmedMs, unreadMs)));",
        to: "return 0;",
      },
    ],
    faults: "redis-pause@1s+8s",
    seconds: 11,
    until: "faults",
  },
  {
    name: "commits-blindly",
    guarantee: "single writer",
    about: "A commit does not compare the head that is stored.",
    changes: [
      {
        file: "registrar/publisher/commit-script.ts",
        from: "if hash ~= ARGV[1] then",
        to: "if false then",
      },
    ],
    faults: "publisher-leader-pause@1s+9s",
    seconds: 13,
    until: "faults",
  },
  {
    name: "keeps-every-lookup",
    guarantee: "bounded",
    about: "The resolver on Node opens something for each lookup, and never closes it.",
    changes: [
      {
        file: "src/http/answering.ts",
        from: "const lookup = lookups.lookup(question.service, platform.background);",
        to: `globalThis.process?.getBuiltinModule("node:fs").openSync("/dev/null");
      const lookup = lookups.lookup(question.service, platform.background);`,
      },
    ],
    faults: "none",
    seconds: 8,
    until: "end",
  },
  {
    name: "a-token-each-call",
    guarantee: "authentication",
    about: "A registrar authenticates for each of its calls.",
    changes: [
      {
        file: "registrar/etcd/token.ts",
        from: 'if (state.type === "held") return Promise.resolve(state.token);',
        to: "",
      },
    ],
    faults: "none",
    seconds: 4,
    until: "faults",
  },
];

/** Throws for a name that none has. */
export function brokenBuild(name: string): BrokenBuild {
  const build = BROKEN_BUILDS.find((one) => one.name === name);
  if (!build) throw new Error(`There is no broken build "${name}".`);
  return build;
}
