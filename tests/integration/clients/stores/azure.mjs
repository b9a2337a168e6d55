// The container through Microsoft's own client: azure.mjs inspect|put CONNECTION_STRING CONTAINER [prefix | key text]
import { BlobServiceClient } from '@azure/storage-blob';
import { report } from './report.mjs';

const [action, connection, container, word = '', text = ''] = process.argv.slice(2);
const client = BlobServiceClient.fromConnectionString(connection).getContainerClient(container);
if (action === 'put') {
  await client.getBlockBlobClient(word).upload(text, Buffer.byteLength(text));
  console.log('{}');
} else {
  const found = [];
  for await (const blob of client.listBlobsFlat({ prefix: word })) found.push({ key: blob.name, size: blob.properties.contentLength });
  await report(found, key => client.getBlobClient(key).downloadToBuffer());
}
