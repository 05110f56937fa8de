import type { Hono } from "hono";
import { FingerpostError } from "../../kernel/errors.ts";
import type { GuardDesk } from "../publisher/guard/desk.ts";
import { refuseBody } from "./bodies.ts";
import { readGuardQuery } from "./parameters.ts";
import { json, serve } from "./routes.ts";

export interface GuardRoutesOptions {
  /** Absent in the role `agent`; gives nothing until the publisher has started. */
  readonly desk: (() => GuardDesk | undefined) | undefined;
  readonly namespaceDefault: string;
}

/** What is held back, and letting it go. Without a namespace in path or query it is about all of them. */
export function serveGuard(app: Hono, { desk, namespaceDefault }: GuardRoutesOptions): void {
  function started(): GuardDesk {
    if (!desk) {
      throw new FingerpostError("not_found", "This registrar is an agent and has no guard: ask one that publishes.");
    }
    const found = desk();
    if (found) return found;
    throw new FingerpostError("unavailable", "The publisher has not started yet.", { retryAfterSeconds: 1 });
  }

  for (const base of ["/v1", "/v1/namespaces/:namespace"]) {
    serve(app, `${base}/guard`, {
      GET: (context) => json(started().show(readGuardQuery(context, namespaceDefault, { isPaged: true }))),
    });
    serve(app, `${base}/guard/release`, {
      async POST(context) {
        const query = readGuardQuery(context, namespaceDefault, { isPaged: false });
        await refuseBody(context.req.raw);
        await started().release(query);
        return new Response(null, { status: 204 });
      },
    });
  }
}
