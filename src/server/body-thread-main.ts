/** The body thread itself: counts, parses and checks one body after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { ApiError } from "./api-error.js";
import type { BodyAnswer, BodyTask } from "./body-thread.js";
import { checkCounts, parseBody } from "./request-body.js";
import { requestSchemas, type SchemaParts } from "./schemas/requests.js";

const parts: SchemaParts = workerData;
const schemas = requestSchemas(parts);
const port = parentPort!;

function answer({ path, bytes }: BodyTask): BodyAnswer {
  const schema = schemas.get(path);
  if (schema === undefined) throw new Error(`a body of ${path} came to the thread, which knows none`);
  try {
    checkCounts(bytes, parts.limits);
    return { kind: "body", value: parseBody(bytes, schema) };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { status, code, message, param } = error;
    return { kind: "error", status, code, message, param };
  }
}

port.on("message", (task: BodyTask) => port.postMessage(answer(task)));
