// tail.mjs WS_URL COUNT: prints the lines of the first COUNT entries a tail delivers, one per line.
import WebSocket from 'ws';

const socket = new WebSocket(process.argv[2]);
let wanted = Number(process.argv[3]);
socket.on('open', () => console.log('open'));
socket.on('error', (error) => { console.error(error.message); process.exit(1); });
socket.on('close', () => process.exit(wanted > 0 ? 1 : 0));
socket.on('message', (data) => {
  for (const stream of JSON.parse(data.toString()).streams) {
    for (const [, line] of stream.values) {
      if (wanted-- > 0) console.log(line);
    }
  }
  if (wanted <= 0) socket.close();
});
setTimeout(() => process.exit(2), 20000);
