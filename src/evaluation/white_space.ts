/** @file White space as Python sees it, by which sacreBLEU cuts text into words. */

// The characters for which Python's str.isspace() holds; JavaScript's \s differs at U+001C..1F, U+0085 and U+FEFF.
const space = "\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const spaces = new RegExp(`[${space}]+`, "u");
const spaceOnly = new RegExp(`^[${space}]$`, "u");
const trailingSpace = new RegExp(`[${space}]+$`, "u");
const leadingSpace = new RegExp(`^[${space}]+`, "u");

/** Whether one character is white space. */
export const isSpace = (character: string): boolean => spaceOnly.test(character);

/** What stands between white space; no word is empty. */
export const splitWords = (text: string): string[] => text.split(spaces).filter((word) => word !== "");

export const trimStart = (text: string): string => text.replace(leadingSpace, "");
export const trimEnd = (text: string): string => text.replace(trailingSpace, "");
