"""Speaks TLS before a server that does not: what comes in encrypted goes on in the clear, and back. Started by src/tls_proxy.rs.

proxy.py ADDRESS TARGET_PORT CERTIFICATE KEY

Listens on ADDRESS, at any port, which it prints once it does; the target is on 127.0.0.1. Ends when its input does.
"""

import asyncio
import logging
import os
import ssl
import sys
import threading


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def serve(address, target, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def converse(reader, writer):
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        finally:
            writer.close()

    server = await asyncio.start_server(converse, address, 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def end_with_input():
    sys.stdin.read()
    os._exit(0)


# Handshakes that the other side breaks off are what the tests are about.
logging.disable()
# The test is gone, however it went.
threading.Thread(target=end_with_input, daemon=True).start()
asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
