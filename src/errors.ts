/**
 * The one error class that lastrow throws on purpose. `code` is stable (programs may switch on it); `message` is one
 * sentence that says what was wrong, where, and what to do. Anything else that escapes is a bug in lastrow.
 */

export type ErrorCode =
  /** An option or an argument of a public function is out of its documented range. */
  | "invalid_argument"
  /** The prompt has more tokens than the model's context. */
  | "context_length_exceeded"
  /** An empty prompt, and the model has no start token to put in its place. */
  | "empty_prompt"
  /** A token id outside the vocabulary. */
  | "token_out_of_range"
  /** No model under that name: no such folder, or files missing from it. */
  | "model_not_found"
  /** A model file is truncated, overlapping, mis-sized, inconsistent, or not what it claims to be. */
  | "model_file_invalid"
  /** The files are sound, but describe a model that lastrow does not run. */
  | "model_unsupported"
  /** A weight is NaN or infinite. */
  | "weights_not_finite"
  /** The model has no tokenizer, and text was given or asked for. */
  | "tokenizer_missing"
  /** The model has no chat template, and a conversation was asked for. */
  | "chat_template_missing"
  /** The chat template failed: a fault of its own, or more time or memory than it may take. */
  | "chat_template_failed"
  /** `tokenizer.json` (or `vocab.json` and `merges.txt`) cannot be used. */
  | "tokenizer_invalid"
  /** The model, its KV cache and its working memory do not fit into what the kernels can address. */
  | "memory_limit_exceeded"
  /** No KV block is free: more rows are held than `kvMemory` has room for. */
  | "kv_memory_exhausted"
  /** There is no file to restore from, or it cannot be opened. */
  | "saved_sequence_not_found"
  /** A file is not a saved sequence, or it was damaged or changed. */
  | "saved_sequence_invalid"
  /** A saved sequence of another model, dtype or KV type, or of another version of the format or the numerics. */
  | "saved_sequence_mismatch"
  /** A file could not be written; what was there under its name is still there. */
  | "file_not_written"
  /** An answer fits its schema, and the schema's own validation refuses it. */
  | "value_refused"
  /** A NaN came out of the forward pass or the sampler. */
  | "numerical_error"
  /** The Hub could not be reached. */
  | "hub_unreachable"
  /** The Hub has no such repository, revision or file, or does not show it to this token. */
  | "hub_not_found"
  /** What the Hub sent does not have the size or the SHA-256 that the Hub stated. */
  | "hub_integrity"
  /** The runtime lacks something that lastrow needs, such as WebAssembly SIMD. */
  | "runtime_unsupported"
  /** A part of lastrow's code, which is fetched when it is first needed, could not be fetched. */
  | "code_unavailable"
  /** A thread of the kernels ended or no longer answers. */
  | "thread_lost"
  /** The engine has ended: its worker is gone, or an error inside it (the `cause`) left it unfit to go on. */
  | "engine_lost"
  /** A bug in lastrow, which ended the call that met it and no other; the `cause` says what went wrong. */
  | "internal_error"
  /** The operation was cancelled by its `AbortSignal`. */
  | "aborted"
  /** The model was disposed of: while it worked, or before it was used. */
  | "disposed";

/** What lastrow throws on purpose: `code` for programs, `message` for people. */
export class LastrowError extends Error {
  /** What is wrong, as programs tell failures apart; stable between versions. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "LastrowError";
    this.code = code;
  }
}

/*
 * The codes that many places throw. Each takes one full sentence.
 */

/** An option or an argument is refused. */
export function invalidArgument(sentence: string): LastrowError {
  return new LastrowError("invalid_argument", sentence);
}

/** A signal says that it is not wanted any more; the signal's own reason is the `cause`. */
export function aborted(sentence: string, signal: AbortSignal | undefined): LastrowError {
  return new LastrowError("aborted", sentence, { cause: signal?.reason });
}

/** A model file is refused. */
export function modelFileInvalid(sentence: string): LastrowError {
  return new LastrowError("model_file_invalid", sentence);
}

/** A sound model that lastrow does not run. */
export function modelUnsupported(sentence: string): LastrowError {
  return new LastrowError("model_unsupported", sentence);
}

/** A file is not a saved sequence, or is damaged. */
export function savedSequenceInvalid(sentence: string): LastrowError {
  return new LastrowError("saved_sequence_invalid", sentence);
}

/** A sound saved sequence that this model cannot restore. */
export function savedSequenceMismatch(sentence: string): LastrowError {
  return new LastrowError("saved_sequence_mismatch", sentence);
}
