"use strict";
// The address holds a reader's choices: #ANCHOR?name=value&name=value. A link to it shows the same.
// It stands behind the #, since a page that was opened from a folder may change that part alone.
const address = {
  read() {
    const [anchor, query = ""] = location.hash.slice(1).split("?");
    return { anchor: decodeURIComponent(anchor), chosen: new URLSearchParams(query) };
  },
  get: (name) => address.read().chosen.get(name),
  // null takes a choice back.
  set(name, value) {
    const { anchor, chosen } = address.read();
    if (value === null) chosen.delete(name); else chosen.set(name, value);
    address.write(anchor, chosen);
  },
  goto: (anchor) => address.write(anchor, address.read().chosen),
  write(anchor, chosen) {
    const query = chosen.toString();
    history.replaceState(null, "", `#${encodeURIComponent(anchor)}${query && "?" + query}`);
  },
};
