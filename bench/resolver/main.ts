import { runBenchmark } from "../support/run.ts";
import { measureHot } from "./hot.ts";

await runBenchmark({
  part: "resolver",
  title: "The resolver, measured",
  description: "Measures the resolver in a real workerd against a baseline in the same run.",
  measurements: [{ name: "hot", title: "Hot lookups", measure: measureHot }],
});
