/**
 * Upstash's REST protocol, as far as it is spoken here: a command is a JSON array, its answer `{"result"}` or
 * `{"error"}`. See https://upstash.com/docs/redis/features/restapi.
 */

/** The request of one command; `body` is its JSON. */
export function commandRequest(token: string, body: string, timeoutMs: number) {
  return {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body,
    // Whoever sends us elsewhere is not the Redis that was configured, and a token is not carried there. Workers know
    // no "error"; the redirection itself is no proper answer.
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  } as const;
}

export interface CommandReply {
  readonly result?: unknown;
  readonly error?: unknown;
}

/** Reads an answer; what is not of the protocol has neither member. */
export function parseCommandReply(text: string): CommandReply {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null ? json : {};
  } catch {
    return {};
  }
}

/** Redis' answer of an error, as only its code: the rest of the text may quote the command, and so credentials. */
export function refusalText(message: string): string {
  const code = /^[A-Z]{2,32}\b/.exec(message)?.[0];
  return `Redis refused a command${code === undefined ? "" : ` (${code})`}.`;
}
