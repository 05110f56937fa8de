import { Hono } from "hono";
import { problemResponse } from "../../contract/problem.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { refuseForeignHosts, refuseWebPages, requireBearer } from "../../node/guard.ts";
import type { Log } from "../../node/log.ts";
import type { Agent } from "../agent/agent.ts";
import { serveGuard, type GuardRoutesOptions } from "./guard.ts";
import { serveInstances } from "./instances.ts";
import { json, serve } from "./routes.ts";

interface MetricsText {
  readonly contentType: string;
  readonly text: string;
}

export interface RegistrarAppOptions {
  /** Absent in the role `publisher`, which takes no registrations. */
  readonly agent: Agent | undefined;
  /** Absent in the role `agent`, which publishes nothing. */
  readonly guard: GuardRoutesOptions["desk"] | undefined;
  /** The body of `GET /v1/status`. */
  readonly status: () => unknown;
  /** Why this registrar is not ready, a sentence each; empty once it is. For anybody's eyes. */
  readonly notReady: () => readonly string[];
  readonly metrics: () => Promise<MetricsText>;
  /** Without one, whoever reaches the port may use it. */
  readonly token: string | undefined;
  /** The host it listens on. */
  readonly host: string;
  /** The namespace of paths that name none. */
  readonly namespaceDefault: string;
  readonly log: Log;
}

/**
 * The registrar's HTTP. `/healthz` and `/readyz` are open, for probes that carry no secret and are told none; all the
 * rest, unknown paths as well, is behind the token when there is one.
 */
export function createRegistrarApp(options: RegistrarAppOptions): Hono {
  const { agent, guard, status, notReady, metrics, token, host, namespaceDefault, log } = options;
  const app = new Hono();

  app.onError((thrown) => {
    const error = FingerpostError.from(thrown);
    if (error.code === "internal") log.error({ err: thrown }, "request failed");
    return problemResponse(error);
  });
  app.notFound(() => problemResponse(new FingerpostError("not_found", "There is nothing at this path.")));
  app.use(refuseForeignHosts(host), refuseWebPages());

  serve(app, "/healthz", { GET: () => json({ status: "ok" }) });
  serve(app, "/readyz", {
    GET() {
      const reasons = notReady();
      if (reasons.length === 0) return json({ status: "ready" });
      throw new FingerpostError("unavailable", `Not ready. ${reasons.join(" ")}`, { retryAfterSeconds: 1 });
    },
  });

  app.use(requireBearer(token));

  serve(app, "/v1/status", { GET: () => json(status()) });
  serve(app, "/metrics", {
    async GET() {
      const { contentType, text } = await metrics();
      return new Response(text, { headers: { "Content-Type": contentType, "Cache-Control": "no-store" } });
    },
  });
  if (agent) serveInstances(app, { agent, namespaceDefault });
  serveGuard(app, { desk: guard, namespaceDefault });
  return app;
}
