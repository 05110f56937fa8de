export const ORIGINS_MAX = 100;

export const ORIGIN_RULE = "must be an origin such as https://example.com, or *";

/** As a browser writes it, or it would never match: no path, no default port, no capital. */
export function isOrigin(text: unknown): boolean {
  return typeof text === "string" && URL.canParse(text) && new URL(text).origin === text;
}
