// Escaping of texts of clients, plugins and files, as the server escapes them in its log and its commands
// (crate jackfield-text). A text must not reorder its neighbours or look like another one.

/** The characters that the crate escapes: controls, separators of lines, marks of direction, tags. */
const UNPRINTABLE = /[\u{0}-\u{1f}\u{7f}-\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}-\u{202e}\u{2066}-\u{2069}\u{feff}\u{fff9}-\u{fffb}\u{e0000}-\u{e007f}]/gu;
const SHORT = { '\t': '\\t', '\n': '\\n', '\r': '\\r' };

const escapeOne = (it) => SHORT[it] ?? `\\u{${it.codePointAt(0).toString(16)}}`;

/** The text with its unprintable characters as `\n` or `\u{202e}`. */
export const escapeText = (text) => String(text).replace(UNPRINTABLE, escapeOne);

/** The same, but line breaks and tabs stay: for texts with lines of the server, which has escaped its quotations. */
export const escapeLines = (text) => String(text).replace(UNPRINTABLE, (it) => (it === '\n' || it === '\t' ? it : escapeOne(it)));

/**
 * The text as one word of a POSIX shell, for a command that is copied. Shells have no common form for
 * unprintable characters: the placeholder replaces a text with one of them.
 */
export function shellWord(text, placeholder) {
  if (escapeText(text) !== text) return placeholder;
  return /^[\w./:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
