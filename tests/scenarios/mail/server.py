"""A mail server for the tests: accepts mail on 127.0.0.1 and stores each one as a file. Started by src/mailbox.rs.

server.py FOLDER PORT [--certificate FILE --key FILE [--wrapped]] [--login USER PASSWORD] [--refuse ADDRESS] [--busy COUNT] [--mute]

With a certificate it offers STARTTLS and accepts mail only after it; with --wrapped it speaks TLS from the first byte. With
--login it accepts mail only after a login. --refuse answers a recipient with 550; --busy answers the first COUNT mails with
451; --mute accepts mails but does not answer. Port 0 means any free port. It prints the port once it listens, and exits when
its standard input ends. FOLDER/00001.json holds the envelope, and FOLDER/00001.eml the mail, which is written last.
"""

import argparse
import asyncio
import json
import logging
import os
import ssl
import sys
import threading
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


class FileHandler:
    """Writes each mail into the folder."""

    def __init__(self, options):
        self.options = options
        self.busy = options.busy

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address == self.options.refuse:
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        if self.busy > 0:
            self.busy -= 1
            return "451 4.3.2 Come again later"
        folder = self.options.folder
        number = 1 + sum(name.endswith(".eml") for name in os.listdir(folder))
        path = os.path.join(folder, f"{number:05}")
        facts = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data if session.authenticated else None,
        }
        with open(path + ".json", "w", encoding="utf-8") as file:
            json.dump(facts, file)
        with open(path + ".part", "wb") as file:
            file.write(envelope.content)
        os.rename(path + ".part", path + ".eml")
        if self.options.mute:
            await asyncio.sleep(3600)
        return f"250 2.0.0 Taken as {number}"


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("port", type=int)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--wrapped", action="store_true")
    parser.add_argument("--login", nargs=2)
    parser.add_argument("--refuse")
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--mute", action="store_true")
    return parser.parse_args()


def check_login(options):
    def check(server, session, envelope, mechanism, data):
        given = [data.login.decode(), data.password.decode()]
        valid = given == options.login
        return AuthResult(success=valid, handled=valid, auth_data=given[0])

    return check


def exit_at_end_of_input():
    sys.stdin.read()
    os._exit(0)


async def serve(options):
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    handler = FileHandler(options)
    # The input ends when the test process exits for any reason.
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    loop = asyncio.get_running_loop()

    def session():
        return SMTP(
            handler,
            hostname="mail.test",
            tls_context=None if options.wrapped else context,
            require_starttls=context is not None and not options.wrapped,
            auth_required=options.login is not None,
            auth_require_tls=False,
            authenticator=check_login(options) if options.login else None,
            loop=loop,
        )

    server = await loop.create_server(
        session, "127.0.0.1", options.port, ssl=context if options.wrapped else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# Rejected logins and broken connections are expected in the tests.
logging.disable()
warnings.simplefilter("ignore")
asyncio.run(serve(read_options()))
