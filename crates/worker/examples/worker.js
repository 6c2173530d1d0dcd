#!/usr/bin/env node
// A worker for `supervisor run`: replies with its payload reversed. See PROTOCOL.md.
const fs = require("node:fs");

const [pid, ...fds] = (process.env.SUPERVISOR_WIRE ?? "").split(":").map(Number);
delete process.env.SUPERVISOR_WIRE; // a child process is no worker
function refuse(why) {
  console.error(`this program ${why}`);
  process.exit(2);
}
if (fds.length !== 3) refuse("is a worker: start it with `supervisor run -a JOBS PROGRAM`");
let [jobs, replies, recorder] = fds;
if (pid !== process.pid) {
  // A wrapper started this program, or a worker did, which has said hello.
  const open = (fd, flags) => fs.openSync(`/proc/${pid}/fd/${fd}`, flags);
  const owner = Buffer.alloc(8, 1);
  try {
    fs.readSync(open(recorder, "r"), owner, 0, 8, 24);
  } catch {} // a worker has closed it
  if (owner.some((byte) => byte !== 0)) refuse("was started by a worker, so it is none");
  [jobs, replies] = [open(jobs, "r"), open(replies, "w")];
}

function readExactly(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const read = fs.readSync(jobs, bytes, at, length - at);
    if (read === 0) process.exit(0); // the end of the pipe is the end
    at += read;
  }
  return bytes;
}
const read = () => JSON.parse(readExactly(readExactly(4).readUInt32LE()));

function write(message) {
  const body = Buffer.from(JSON.stringify(message));
  const header = Buffer.alloc(4);
  header.writeUInt32LE(body.length);
  let rest = Buffer.concat([header, body]);
  while (rest.length > 0) rest = rest.subarray(fs.writeSync(replies, rest));
}

function work(payload) {
  if (payload === "fail") throw new Error("as you wish");
  return Buffer.isBuffer(payload) ? payload.reverse() : [...payload].reverse().join("");
}

const hello = read();
write({ type: "hello", version: 1, codec: "json", pid: process.pid });
if (hello.version !== 1) refuse("speaks version 1 of the protocol"); // the supervisor reports it
for (let job = read(); job.type !== "bye"; job = read()) {
  if (job.type !== "job") continue;
  const reply = { type: "reply", id: job.id, attempt: job.attempt };
  try {
    if ("payload" in job) reply.result = work(job.payload);
    else reply.result_base64 = work(Buffer.from(job.payload_base64, "base64")).toString("base64");
  } catch (fault) {
    reply.error = String(fault);
  }
  write(reply);
}
