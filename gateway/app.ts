import { Hono, type Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ErrorReply } from "@redis/client";
import { problemStatus } from "../contract/problem.ts";
import { FingerpostError, messageOf } from "../kernel/errors.ts";
import { bearerToken, digestsEqual, sha256 } from "../kernel/secret.ts";
import { refuseWebPages, wholeBody } from "../node/guard.ts";
import type { Log } from "../node/log.ts";
import type { Access } from "./access.ts";
import { createAdmission, type Place } from "./admission.ts";
import { parseCommand, parseCommands, parsePath, type Command } from "./command.ts";
import { isPassing } from "./connection.ts";
import type { Executor } from "./execute.ts";
import { BODY_BYTES_MAX, BUFFERED_BYTES_MAX } from "./limits.ts";
import { createReplyEncoder } from "./reply.ts";

export interface AppOptions {
  readonly executor: Executor;
  readonly token: string;
  readonly readOnlyToken: string | undefined;
  readonly concurrentRequestsMax: number;
  readonly log: Log;
}

interface Asked {
  readonly access: Access;
  readonly body: Uint8Array;
}

/**
 * Upstash's REST protocol: commands as JSON arrays or as a path, answers as `{"result"}` or `{"error"}`, which for a
 * pipeline stand in an array. There is one primary behind it, so a read sees every write answered before it without
 * the protocol's sync token.
 */
export function createApp({ executor, log, ...options }: AppOptions): Hono {
  const app = new Hono();
  const accessOf = createAuthentication(options);
  const admission = createAdmission({ requestsMax: options.concurrentRequestsMax, bytesMax: BUFFERED_BYTES_MAX });

  /** Everything a command's request goes through before it is read; the place is left once it is answered. */
  const answer = async (context: Context, run: (asked: Asked) => Promise<Response>): Promise<Response> => {
    const access = await accessOf(context.req.header("authorization"));
    const place = admission.enter(access);
    try {
      return await run({ access, body: await wholeBody(readBody(context.req.raw, place)) });
    } finally {
      place.leave();
    }
  };

  const single = async (context: Context, access: Access, command: Command): Promise<Response> => {
    const [reply = null] = await executor.pipeline(access, [command]);
    return context.json(encoder(context)(reply), statusOf(reply));
  };

  // Whatever the Host: a proxy that ends TLS passes its own name on, and without a token nobody gets anything.
  app.use(refuseWebPages());
  app.get("/healthz", (context) => context.json({ status: "ok" }));
  app.get("/readyz", (context) => {
    executor.check();
    return context.json({ status: "ready" });
  });

  // Hono serves HEAD by the routes of GET, and a probe or a prefetch would run the command of a path.
  app.use(async (context, next) => {
    if (context.req.method === "HEAD") return await context.notFound();
    return await next();
  });

  app.post("/", (context) => answer(context, ({ access, body }) => single(context, access, parseCommand(body))));

  app.post("/pipeline", (context) =>
    answer(context, async ({ access, body }) => {
      const replies = await executor.pipeline(access, parseCommands(body));
      return context.json(replies.map(encoder(context)));
    }),
  );

  app.post("/multi-exec", (context) =>
    answer(context, async ({ access, body }) => {
      const replies = await executor.transaction(access, parseCommands(body));
      const encode = encoder(context);
      if (replies instanceof ErrorReply) return context.json(encode(replies), statusOf(replies));
      return context.json(replies.map(encode));
    }),
  );

  app.on(["GET", "POST"], "/*", (context) =>
    answer(context, ({ access, body }) => {
      const url = new URL(context.req.url);
      if (url.searchParams.has("_token")) {
        throw new FingerpostError("invalid_argument", "Send the token in the Authorization header, not in the URL.");
      }
      return single(context, access, parsePath(url, body));
    }),
  );

  app.notFound((context) => context.json({ error: "ERR use GET or POST" }, 405, { Allow: "GET, POST" }));
  app.onError((thrown, context) => {
    const error = FingerpostError.from(thrown);
    if (error.code === "internal") log.error({ cause: messageOf(thrown) }, "a request failed by our own fault");
    if (error.retryAfterSeconds !== undefined) context.header("Retry-After", String(error.retryAfterSeconds));
    if (error.code !== "unauthenticated") {
      return context.json({ error: `ERR ${error.message}` }, problemStatus(error.code) as ContentfulStatusCode);
    }
    context.header("WWW-Authenticate", 'Bearer realm="fingerpost"');
    return context.json({ error: "Unauthorized" }, 401);
  });
  return app;
}

function createAuthentication({ token, readOnlyToken }: Pick<AppOptions, "token" | "readOnlyToken">) {
  const expected = Promise.all([sha256(token), readOnlyToken === undefined ? undefined : sha256(readOnlyToken)]);

  /** Which token a request brings. Throws `unauthenticated`. */
  return async (authorization: string | undefined): Promise<Access> => {
    const [writer, reader] = await expected;
    const given = await sha256(bearerToken(authorization) ?? "");
    // Both are compared always, so that the time tells nothing of which one was closer.
    const writes = digestsEqual(given, writer);
    const reads = reader !== undefined && digestsEqual(given, reader);
    if (writes) return "read-write";
    if (reads) return "read-only";
    throw new FingerpostError("unauthenticated", "Unauthorized");
  };
}

/** Throws `invalid_argument` past BODY_BYTES_MAX, without reading on, and `resource_exhausted` by the place. */
async function readBody(request: Request, place: Place): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > BODY_BYTES_MAX) {
      throw new FingerpostError("invalid_argument", `max request size exceeded: at most ${BODY_BYTES_MAX} bytes`);
    }
    place.hold(chunk.byteLength);
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, bytes);
}

function encoder(context: Context) {
  return createReplyEncoder(context.req.header("upstash-encoding")?.toLowerCase() === "base64" ? "base64" : "utf8");
}

function statusOf(reply: unknown): 200 | 400 | 503 {
  if (!(reply instanceof ErrorReply)) return 200;
  return isPassing(reply) ? 503 : 400;
}
