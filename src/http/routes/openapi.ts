import { sha256 } from "../../../kernel/secret.ts";
import { matchesTag } from "../answer.ts";
import type { ResolverContext } from "../context.ts";
import { renderPage } from "../openapi/page.ts";
import { STYLE } from "../openapi/style.ts";
import { strongTag } from "../tag.ts";

/** They change with a release alone, hold no secret, and may be kept by anyone. */
const CACHEABLE = "public, max-age=300";

/** Of no use to a lookup, so an isolate reads it with the first request that asks for it. */
const readDocument = async () => (await import("../openapi/document.json", { with: { type: "json" } })).default;

interface Made {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** `GET /openapi.json`: made by `npm run generate` from what the resolver reads and writes by. */
export const documentRoute = () =>
  madeOnce(async () => ({
    body: JSON.stringify(await readDocument()),
    headers: { "Content-Type": "application/json" },
  }));

/** `GET /docs`: the same as a page. */
export const docsRoute = () =>
  madeOnce(async () => {
    const hash = btoa(String.fromCharCode(...(await sha256(STYLE))));
    return {
      body: renderPage(await readDocument()),
      headers: {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      },
    };
  });

/** Makes a body with the first request for it. Those that come meanwhile make their own: no promise is shared. */
function madeOnce(make: () => Promise<Made>) {
  let made: Made | undefined;
  let etag = "";
  return async ({ req }: ResolverContext): Promise<Response> => {
    made ??= await make();
    const { body } = made;
    etag ||= await strongTag(body);
    const headers = { ...made.headers, ETag: etag, "Cache-Control": CACHEABLE, "X-Content-Type-Options": "nosniff" };
    return matchesTag(req.header("if-none-match") ?? null, etag)
      ? new Response(null, { status: 304, headers })
      : new Response(body, { headers });
  };
}
