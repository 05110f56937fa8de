import type { Context, Hono } from "hono";
import { parseRegistrationRequest } from "../../contract/registration.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { readJson } from "../../node/guard.ts";
import type { Agent } from "../agent/agent.ts";
import { refuseBody } from "./bodies.ts";
import { readListQuery, readRef } from "./parameters.ts";
import { json, serve } from "./routes.ts";

/** Bytes of a registration's body: etcd takes 4 KiB of it, and JSON can be written with much white space. */
const BODY_BYTES_MAX = 16 * 1024;
export interface InstanceRoutesOptions {
  readonly agent: Agent;
  readonly namespaceDefault: string;
}

/** The routes of an agent: register, heartbeat, drain, deregister, list. */
export function serveInstances(app: Hono, { agent, namespaceDefault }: InstanceRoutesOptions): void {
  const refOf = (context: Context) => readRef(context, namespaceDefault);

  for (const base of ["/v1", "/v1/namespaces/:namespace"]) {
    const instance = `${base}/services/:service/instances/:instance`;
    serve(app, instance, {
      async PUT(context) {
        const ref = refOf(context);
        const request = parseRegistrationRequest(await readJson(context.req.raw, BODY_BYTES_MAX));
        if (request.id !== undefined && request.id !== ref.instance) {
          throw new FingerpostError("invalid_argument", "The registration is of another instance than the path.", {
            violations: [{ pointer: "/id", detail: `must be "${ref.instance}", as in the path, or left out` }],
          });
        }
        const { created, ...registered } = await agent.register(ref, request);
        return json(registered, created ? 201 : 200);
      },
      async DELETE(context) {
        const ref = refOf(context);
        await refuseBody(context.req.raw);
        await agent.deregister(ref);
        return done();
      },
    });
    serve(app, `${instance}/heartbeat`, {
      async POST(context) {
        const ref = refOf(context);
        await refuseBody(context.req.raw);
        await agent.heartbeat(ref);
        return done();
      },
    });
    serve(app, `${instance}/drain`, {
      async POST(context) {
        const ref = refOf(context);
        await refuseBody(context.req.raw);
        await agent.drain(ref);
        return done();
      },
    });
    serve(app, `${base}/instances`, {
      GET(context) {
        const { namespace, ...query } = readListQuery(context, namespaceDefault);
        return json({ namespace, ...agent.list({ namespace, ...query }) });
      },
    });
  }
}

function done(): Response {
  return new Response(null, { status: 204 });
}
