import type { Context, Hono } from "hono";
import { problemResponse } from "../../contract/problem.ts";
import { FingerpostError } from "../../kernel/errors.ts";

export type Method = "GET" | "PUT" | "POST" | "DELETE";
export type Handler = (context: Context) => Response | Promise<Response>;

/** Serves `path` with these methods, and answers any other with 405 and the ones there are (RFC 9110, 15.5.6). */
export function serve(app: Hono, path: string, handlers: Readonly<Partial<Record<Method, Handler>>>): void {
  const allow: string[] = [];
  for (const [method, handler] of Object.entries(handlers)) {
    app.on(method, path, handler);
    allow.push(...(method === "GET" ? ["GET", "HEAD"] : [method]));
  }
  app.all(path, (context) => {
    const message = `${context.req.method} is not allowed here; use ${allow.join(" or ")}.`;
    const response = problemResponse(new FingerpostError("method_not_allowed", message));
    response.headers.set("Allow", allow.join(", "));
    return response;
  });
}

/** A JSON answer, which is of this moment only. */
export function json(body: unknown, status = 200): Response {
  return Response.json(body, { status, headers: { "Cache-Control": "no-store" } });
}
