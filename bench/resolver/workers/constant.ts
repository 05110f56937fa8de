import { Hono } from "hono";

/** Put in by the bundler. */
declare const BODY: string;
declare const HEADERS: Readonly<Record<string, string>>;

const body = BODY;
const headers = HEADERS;
const app = new Hono();
app.get("*", () => new Response(body, { headers }));

export default app;
