#!/usr/bin/env python3
"""A worker for `supervisor run`: replies with its payload reversed. See PROTOCOL.md."""
import base64, json, os, struct, sys

pid, *fds = os.environ.pop("SUPERVISOR_WIRE", "").split(":")  # a child process is no worker
if len(fds) != 3:
    sys.exit("this program is a worker: start it with `supervisor run -a JOBS PROGRAM`")
if pid == str(os.getpid()):
    jobs, replies = int(fds[0]), int(fds[1])
    for fd in jobs, replies:
        os.set_inheritable(fd, False)  # child processes must not inherit the pipes
else:  # a wrapper started this program, or a worker did, which has said hello
    jobs, replies, recorder = (f"/proc/{pid}/fd/{fd}" for fd in fds)
    if not os.path.exists(recorder) or any(open(recorder, "rb").read(32)[24:]):
        sys.exit("this program was started by a worker, and a child of a worker is none")
jobs, replies = open(jobs, "rb"), open(replies, "wb")

def read():
    header = jobs.read(4)
    body = jobs.read(struct.unpack("<I", header)[0]) if len(header) == 4 else b""
    return json.loads(body) if body else {"type": "bye"}  # the end of the pipe is the end

def write(message):
    body = json.dumps(message).encode()
    replies.write(struct.pack("<I", len(body)) + body)
    replies.flush()

def work(payload):
    if payload == "fail":
        raise ValueError("as you wish")
    return payload[::-1]

hello = read()
write({"type": "hello", "version": 1, "codec": "json", "pid": os.getpid()})
if hello.get("version") != 1:  # the supervisor reports the mismatch
    sys.exit("this worker speaks version 1 of the protocol")
while (job := read())["type"] != "bye":
    if job["type"] != "job":
        continue
    reply = {"type": "reply", "id": job["id"], "attempt": job["attempt"]}
    try:
        if "payload" in job:  # a payload that is text
            reply["result"] = work(job["payload"])
        else:  # one that is not
            result = work(base64.b64decode(job["payload_base64"]))
            reply["result_base64"] = base64.b64encode(result).decode()
    except Exception as fault:
        reply["error"] = f"{type(fault).__name__}: {fault}"
    write(reply)
