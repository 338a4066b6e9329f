/** Texts that are well formed: what is not a character becomes one. */

/** Half a surrogate pair is not a character; a UTF-8 encoder writes U+FFFD for it. */
export function replaceLoneSurrogates(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}
