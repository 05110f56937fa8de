import { createServer } from "node:net";
import { offsetDate } from "./clock-offset.ts";

/**
 * Runs before a process on Node: its wall clock goes off by as many milliseconds as whoever connects says, and is told
 * that it did.
 */
const address = process.env["CHAOS_CLOCK_ADDRESS"];
if (address === undefined) throw new Error("CHAOS_CLOCK_ADDRESS is not set");
// The process' own variables are its own.
delete process.env["CHAOS_CLOCK_ADDRESS"];
const setOffset = offsetDate();
const server = createServer((socket) => {
  socket.on("data", (offsetMs) => {
    setOffset(Number(offsetMs.toString()));
    socket.end("set");
  });
});
// A name that only the kernel keeps: nothing of it is left when the process is killed.
server.listen(`\0${address}`);
server.unref();
