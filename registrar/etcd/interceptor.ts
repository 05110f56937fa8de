import { InterceptingCall, status as grpcStatus, type Interceptor } from "@grpc/grpc-js";
import type { CallStatus } from "./errors.ts";

export interface InterceptorOptions {
  /** The token the call carries; undefined where etcd asks for none. */
  readonly token: string | undefined;
  /** Etcd ends the call when its member has no leader, where it would stay silent otherwise. */
  readonly requireLeader: boolean;
  /** How the call ended, once. */
  readonly onStatus: (status: CallStatus) => void;
}

/**
 * One call's dealings with gRPC, out of reach of etcd3's policies. A failure is told to `onStatus` and goes on as a
 * status that etcd3 has no policy for: it answers an invalid token with a new Authenticate of its own for every call,
 * and an unavailable member by closing the connection under everybody's streams (microsoft/etcd3#177).
 */
export function createInterceptor({ token, requireLeader, onStatus }: InterceptorOptions): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, _listener, next) {
        if (token !== undefined) metadata.set("token", token);
        if (requireLeader) metadata.set("hasleader", "true");
        next(metadata, {
          onReceiveStatus(status, forward) {
            onStatus(status);
            forward(
              status.code === grpcStatus.OK
                ? status
                : { ...status, code: grpcStatus.FAILED_PRECONDITION, details: "the call failed" },
            );
          },
        });
      },
    });
}
