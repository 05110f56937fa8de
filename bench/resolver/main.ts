import type { Measured } from "../support/result.ts";
import { runBenchmark } from "../support/run.ts";
import type { Stage } from "../support/stage.ts";
import { measureAlternatives } from "./alternatives.ts";
import { createResolverBundle, type ResolverBundle } from "./bundles.ts";
import { measureCost } from "./cost.ts";
import { measureFreshness } from "./freshness.ts";
import { measureHot } from "./hot.ts";
import { measureMemory } from "./memory.ts";
import { measureRedisDown } from "./redis-down.ts";
import { measureStampede } from "./stampede.ts";

const bundle = createResolverBundle();
const withBundle = (measure: (stage: Stage, short: boolean, bundle: ResolverBundle) => Promise<Measured>) => {
  return (stage: Stage, short: boolean) => measure(stage, short, bundle);
};

await runBenchmark({
  part: "resolver",
  title: "The resolver, measured",
  description: "Measures the resolver in a real workerd against a baseline in the same run.",
  measurements: [
    { name: "hot", title: "Hot lookups", measure: withBundle(measureHot) },
    { name: "alternatives", title: "Against reading the store", measure: withBundle(measureAlternatives) },
    { name: "cost", title: "Cost", measure: withBundle(measureCost) },
    { name: "stampede", title: "Stampede", measure: withBundle(measureStampede) },
    { name: "redisDown", title: "Redis down", measure: withBundle(measureRedisDown) },
    { name: "freshness", title: "Freshness", measure: withBundle(measureFreshness) },
    { name: "memory", title: "Memory and start", measure: withBundle(measureMemory) },
  ],
});
bundle.close();
