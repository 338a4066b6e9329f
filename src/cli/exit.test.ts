import { describe, expect, it } from "vitest";
import { capturedIo, run } from "../../test/cli/captured-io.js";
import { LastrowError } from "../errors.js";
import { reportFailure, Stop } from "./exit.js";

function said(error: unknown, debug = false): string {
  const io = capturedIo();
  expect(reportFailure(error, io, debug)).toBe(1);
  return io.stderr.text;
}

describe("reportFailure", () => {
  it("calls anything unexpected a bug, and hints at --debug", () => {
    expect(said(new TypeError("x is undefined"))).toBe(
      "error: This is a bug in lastrow: x is undefined. Run the command again with --debug for the details, and please report them.\n",
    );
    expect(said(new TypeError("x is undefined"), true)).toMatch(
      /^error: This is a bug in lastrow: x is undefined\.\nTypeError: x is undefined\n +at /,
    );
  });

  it("shows causes with --debug only", () => {
    const error = new LastrowError("hub_unreachable", "No network.", { cause: new Error("ECONNREFUSED") });
    expect(said(error)).toBe("error: No network. [hub_unreachable]\n");
    expect(said(error, true)).toMatch(/\n *\[cause\]: Error: ECONNREFUSED\n/);
  });

  it("calls what helps against too little memory as it is on the command line", () => {
    const error = new LastrowError(
      "memory_limit_exceeded",
      "dtype needs 5 GB. It fits with contextLength 512, or with kvMemory 12MiB, or with dtype int8 and kvDtype int8.",
    );
    expect(said(error)).toBe(
      "error: dtype needs 5 GB. It fits with --context 512, or with --kv-memory 12MiB, or with --dtype int8 and --kv-dtype int8. [memory_limit_exceeded]\n",
    );
  });

  it("keeps control characters of untrusted names off the terminal", () => {
    expect(said(new LastrowError("model_file_invalid", "Tensor \u001b[2J is odd."))).not.toContain("\u001b");
  });
});

describe("a stop", () => {
  it("decides the exit code and what is said", async () => {
    const interrupted = await run(["generate", "Tom"], { signal: AbortSignal.abort(new Stop(130)) });
    expect(interrupted).toMatchObject({ exitCode: 130, stderr: "" });
    const unwritable = await run(["generate", "Tom"], {
      signal: AbortSignal.abort(new Stop(1, "The disk is full.")),
    });
    expect(unwritable).toMatchObject({ exitCode: 1, stderr: "error: The disk is full.\n" });
  });
});
