/** What the definitions of commands share: how a command says that it has ended, and words about its prompt. */

/** `endsBySignal`: a signal is how the command ends in order, so its own exit code counts. */
export type Done = (exitCode: number, how?: { readonly endsBySignal?: boolean }) => void;

export const PIPED_PROMPT =
  "the prompt; standard input when omitted or -, without one newline at its end (at a terminal, omitted: an empty one)";
