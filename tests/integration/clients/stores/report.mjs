// Prints found objects as JSON: key, listed size, bytes read, first and last four bytes as text.
export async function report(found, read) {
  for (const object of found) {
    const bytes = Buffer.from(await read(object.key));
    object.read = bytes.length;
    object.head = bytes.subarray(0, 4).toString('latin1');
    object.tail = bytes.subarray(-4).toString('latin1');
  }
  console.log(JSON.stringify(found));
}
