import { Etcd3 } from "etcd3";
import { serveTask } from "../../support/task-process.ts";

export interface GetAllInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  readonly prefix: string;
}

export interface GetAllOutput {
  readonly keys: number;
}

/** What a program does that only wants to have everything: one call, and everything as text. */
async function getAll({ endpoint, username, password, prefix }: GetAllInput): Promise<GetAllOutput> {
  const client = new Etcd3({
    hosts: endpoint,
    auth: { username, password },
    // One answer with everything is far above gRPC's default of 4 MiB.
    grpcOptions: { "grpc.max_receive_message_length": 1024 * 1024 * 1024 },
  });
  const values = await client.getAll().prefix(prefix).strings();
  client.close();
  return { keys: Object.keys(values).length };
}

serveTask({ getAll });
