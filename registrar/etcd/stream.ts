import type { CallOptions } from "@grpc/grpc-js";
import type { IDuplexStream } from "etcd3";
import { messageOf } from "../../kernel/errors.ts";
import type { CallStatus } from "./errors.ts";
import { createInterceptor } from "./interceptor.ts";
import { EtcdError } from "./port.ts";
import { failureOf, report, type Session } from "./session.ts";
import type { Token } from "./token.ts";
import type { Transport } from "./transport.ts";

export interface StreamOptions<Request, Response> {
  readonly method: string;
  readonly open: (transport: Transport, options: CallOptions) => Promise<IDuplexStream<Request, Response>>;
  readonly onMessage: (response: Response) => void;
  /** Once, and last; not after `close`. */
  readonly onEnd: (error: EtcdError) => void;
}

export interface Stream<Request> {
  /** Before the stream is open, what is written waits; the caller bounds how much that is. */
  write(request: Request): void;
  /** The process has another token by now than the one this stream was opened with. */
  hasOldToken(): boolean;
  close(): void;
  /** Ends a stream that does not do what it should: with `error`, and as a failure of the member. */
  giveUp(error: EtcdError): void;
}

/** `opening` keeps what is written; `open` until either side ends it; `ended` for good. */
type State<Request, Response> =
  | { readonly type: "opening"; readonly waiting: Request[] }
  | { readonly type: "open"; readonly duplex: IDuplexStream<Request, Response> }
  | { readonly type: "ended" };

/** A duplex stream that carries the token, needs a leader, and ends when the process moves to another member. */
export function openStream<Request, Response>(
  session: Session,
  { method, open, onMessage, onEnd }: StreamOptions<Request, Response>,
): Stream<Request> {
  const { members, tokens, clock, onRequest, streams, closing } = session;
  const ended = new AbortController();
  let state: State<Request, Response> = { type: "opening", waiting: [] };
  let token: Token | undefined;

  /** True for the first caller only. */
  function finish(): boolean {
    if (state.type === "ended") return false;
    const last = state;
    state = { type: "ended" };
    ended.abort();
    streams.delete(stream);
    if (last.type === "open") last.duplex.cancel();
    return true;
  }

  function fail(error: EtcdError): void {
    if (!finish()) return;
    onRequest(method, error.code);
    onEnd(error);
  }

  async function start(): Promise<void> {
    if (closing.aborted) throw new EtcdError("unavailable", "The connection to etcd is closed.");
    token = await tokens?.current();
    if (state.type !== "opening") return;
    const member = members.current();
    let status: CallStatus | undefined;
    const interceptor = createInterceptor({
      token: token?.value,
      requireLeader: true,
      onStatus: (end) => (status = end),
    });
    const lost = (cause: unknown) => {
      const failure = failureOf(status, cause, method);
      if (!finish()) return;
      if (failure.tokenRefused && token) tokens?.refused(token, clock.monotonic());
      report(session, member, failure);
      onRequest(method, failure.error.code);
      onEnd(failure.error);
    };
    const duplex = await open(member.transport, { interceptors: [interceptor] });
    // The error of a stream that we have cancelled comes here as well, and is none.
    duplex.on("error", (error) => lost(error));
    duplex.on("end", () => lost("the server ended it"));
    duplex.on("data", (response) => {
      if (state.type === "open") onMessage(response);
    });
    // It may have been closed while etcd3 opened it.
    if (state.type !== "opening") {
      duplex.cancel();
      return;
    }
    const { waiting } = state;
    state = { type: "open", duplex };
    const leave = () => fail(new EtcdError("unavailable", `etcd ${method}: moved to another member`));
    member.left.addEventListener("abort", leave, { once: true, signal: ended.signal });
    for (const request of waiting) duplex.write(request);
  }

  const stream: Stream<Request> = {
    write(request) {
      if (state.type === "opening") state.waiting.push(request);
      else if (state.type === "open") state.duplex.write(request);
    },
    hasOldToken: () => token !== undefined && tokens?.isReplaced(token) === true,
    close() {
      if (finish()) onRequest(method, "ok");
    },
    giveUp(error) {
      if (state.type !== "ended") {
        members.failed(members.current(), "slow");
        tokens?.interrupted();
      }
      fail(error);
    },
  };
  streams.add(stream);
  start().catch((error: unknown) => {
    fail(error instanceof EtcdError ? error : new EtcdError("unavailable", messageOf(error), error));
  });
  return stream;
}
