// Peer URLs as clients give them.

/** The URLs sorted and in the form in which members are stored; undefined where one of them is none, as in etcd. */
export function parsePeerUrls(texts: readonly string[]): readonly string[] | undefined {
  if (texts.length === 0) return undefined;
  const urls: string[] = [];
  for (const text of texts) {
    const url = parsePeerUrl(text.trim());
    if (url === undefined) return undefined;
    urls.push(url);
  }
  return urls.sort();
}

function parsePeerUrl(text: string): string | undefined {
  const match = /^(https?|unixs?):\/\/([^/?#]+)$/.exec(text);
  if (match === null) return undefined;
  const [, scheme = "", authority = ""] = match;
  if (scheme.startsWith("unix")) return text;
  // A host may be empty, a port may not.
  const port = /:(\d{1,5})$/.exec(authority)?.[1];
  return port === undefined || Number(port) > 65_535 ? undefined : text;
}
