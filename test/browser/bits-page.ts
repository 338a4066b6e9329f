/** What the bits' test has Chromium run: a page that bundles the library as a user's would. */
import { type LoadOptions, type LoadProgress, load } from "lastrow";
import { stories } from "lastrow/stories";
import { answerOf, logitsDigests } from "./logits-digest.js";

/** A person's way to a model's folder. */
const input = document.createElement("input");
input.type = "file";
input.webkitdirectory = true;
const fileInput = document.createElement("input");
fileInput.type = "file";
fileInput.id = "files";
fileInput.multiple = true;
document.body.append(input, fileInput);

Object.assign(globalThis, {
  async digests(options: LoadOptions) {
    const lm = await load(stories, options);
    const digests = await logitsDigests(lm);
    await lm.dispose();
    return { digests, threads: lm.info.threads };
  },
  /** Of the files or the folder that were picked: digests, greedy tokens, and how long it took to load. */
  async picked(from: "files" | "folder", prompts: readonly number[][], options: LoadOptions) {
    const start = performance.now();
    const lm = await load((from === "files" ? fileInput : input).files!, options);
    const loadMs = Math.round(performance.now() - start);
    const digests = await logitsDigests(lm, prompts);
    const { tokens } = await lm
      .generate(prompts[0]!, { temperature: 0, maxTokens: 8, ignoreEos: true })
      .result();
    const { label, dtype, threads, weightBytes, memoryBytes } = lm.info;
    await lm.dispose();
    return {
      digests,
      tokens,
      label,
      dtype,
      threads,
      weightBytes,
      memoryBytes,
      loadMs,
    };
  },
  /** Loads by address, and cancels once half of the weights has come, of which no more does. */
  async cancelled(options: LoadOptions) {
    const fetchAll = globalThis.fetch;
    let isStopped = false;
    globalThis.fetch = async (address, init) => {
      const response = await fetchAll(address, init);
      if (!String(address).endsWith(".safetensors")) return response;
      const bytes = new Uint8Array(await response.arrayBuffer());
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(bytes.subarray(0, bytes.length / 2)),
        cancel() {
          isStopped = true;
        },
      });
      return new Response(body, { headers: { "content-length": String(bytes.length) } });
    };
    const cancelling = new AbortController();
    const seen: LoadProgress[] = [];
    const code = await load(stories, {
      ...options,
      signal: cancelling.signal,
      onProgress(now) {
        seen.push(now);
        if (now.loadedBytes > 0.4 * now.totalBytes) cancelling.abort();
      },
    }).then(
      () => "loaded",
      (error: { code?: string }) => error.code,
    );
    globalThis.fetch = fetchAll;
    const bytes = seen.map(({ loadedBytes }) => loadedBytes);
    return {
      ...{ code, isStopped },
      rises: bytes.every((loaded, i) => i === 0 || loaded >= bytes[i - 1]!),
      most: Math.max(...bytes) / seen[0]!.totalBytes,
    };
  },
  /** Of the folder that was picked. */
  async pickedFolder(prompts: readonly number[][], options: LoadOptions) {
    let progress: LoadProgress | null = null;
    const onProgress = (now: LoadProgress) => {
      progress = now;
    };
    const lm = await load(input.files!, { ...options, onProgress });
    const digests = await logitsDigests(lm, prompts);
    const answer = await answerOf(lm);
    const { label, dtype, threads, contextLength } = lm.info;
    await lm.dispose();
    return { digests, answer, label, dtype, threads, contextLength, progress };
  },
});
