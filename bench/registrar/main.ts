import { runBenchmark } from "../support/run.ts";
import { measureAuthentication } from "./authentication.ts";
import { measureFailover } from "./failover.ts";
import { measurePropagation } from "./propagation.ts";
import { measureRegistration } from "./registration.ts";
import { measureRenewals } from "./renewals.ts";
import { measureStart } from "./start.ts";

await runBenchmark({
  part: "registrar",
  title: "The registrar, measured",
  description: "Measures the registrar against a baseline in the same run, on a real etcd and a real Redis.",
  measurements: [
    { name: "authentication", title: "Authentication", measure: measureAuthentication },
    { name: "renewals", title: "Renewal load", measure: measureRenewals },
    { name: "registration", title: "Registration", measure: measureRegistration },
    { name: "propagation", title: "Propagation", measure: measurePropagation },
    { name: "start", title: "Start", measure: measureStart },
    { name: "failover", title: "Failover", measure: measureFailover },
  ],
});
