/** What is tried with every client: the rows of the table in docs/api.md, and how what came of it is told. */

/** Each is tried with every client, or the client says why it has no such thing, by leaving it null. */
export const FEATURES = {
  text: "a text",
  streamed: "a text as it is made",
  cached: "tokens that came from the cache, counted",
  object: "an object of a schema",
  tools: "three steps with tools",
  streamedTools: "calls of tools as they are made",
  thoughts: "thoughts, apart from the text",
  logprobs: "log-probabilities",
  vectors: "vectors of texts",
  turns: "a second turn",
  kept: "a second turn from what the server keeps",
  aborted: "an abort that ends the work",
  unknownModel: "a model that is not served",
  image: "a picture",
  hostedTool: "a tool that runs at OpenAI or Anthropic (web search)",
};

/** Awaits a failure that the server meant. @returns what a case returns that is refused */
export async function refused(promise, status) {
  const error = await Promise.resolve(promise).then(
    () => null,
    (reason) => reason,
  );
  if (error === null) throw new Error("it was not refused");
  const found = error.statusCode ?? error.status ?? error.status_code;
  if (found !== status) throw error;
  const text =
    error.data?.error?.message ?? error.error?.error?.message ?? error.error?.message ?? error.message;
  return { refused: text.replace(/^\d+ /, "").split("\n")[0] };
}

/** Waits until the server has noticed that its client has gone. */
export async function expectLeft(records, before) {
  for (let i = 0; i < 500; i++) {
    if (records.slice(before).some(({ error }) => error === "client_closed_request")) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("the work goes on");
}

/**
 * Tries all of a client's.
 * @param client `{ name, package, cases }`: `cases` has a function for each feature, or null where the client has none; what
 *   it returns is nothing (it works) or what `refused` gave
 * @returns a map from features to `works`, `none` or `{ refused }`; failures as errors
 */
export async function outcomesOf({ name, cases }) {
  const outcomes = {};
  for (const feature of Object.keys(FEATURES)) {
    if (!(feature in cases)) throw new Error(`${name} says nothing of "${feature}"`);
    if (cases[feature] === null) outcomes[feature] = "none";
    else {
      try {
        outcomes[feature] = (await cases[feature]()) ?? "works";
      } catch (error) {
        outcomes[feature] = error instanceof Error ? error : new Error(String(error));
      }
    }
  }
  return outcomes;
}
