"""An ssh-agent (draft-miller-ssh-agent) with one key of a hardware token that is software (OpenSSH's PROTOCOL.u2f):
what the token says is the test's to choose."""

import base64
import hashlib
import os
import socket
import threading

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

PRESENT, VERIFIED = 1, 4


def string(data):
    data = data if isinstance(data, bytes) else data.encode()
    return len(data).to_bytes(4, "big") + data


def mpint(number):
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


class Token:
    """A key on a token. What is signed and what is sent differ where a test says so."""

    def __init__(self, kind, application="ssh:"):
        self.application, self.flags, self.counter = application, PRESENT, 7
        self.sent_flags = self.sent_counter = self.signed_application = None
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        if kind == "ed25519":
            self.key, self.kind = ed25519.Ed25519PrivateKey.generate(), "sk-ssh-ed25519@openssh.com"
            public = string(self.key.public_key().public_bytes(*raw))
        else:
            self.key, self.kind = ec.generate_private_key(ec.SECP256R1()), "sk-ecdsa-sha2-nistp256@openssh.com"
            public = string("nistp256") + string(self.key.public_key().public_bytes(*point))
        self.blob = string(self.kind) + public + string(application)
        self.line = f"{self.kind} {base64.b64encode(self.blob).decode()} token"

    def sign(self, message):
        self.counter += 1
        application = self.signed_application or self.application
        said = bytes([self.flags]) + self.counter.to_bytes(4, "big")
        signed = hashlib.sha256(application.encode()).digest() + said + hashlib.sha256(message).digest()
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            signature = self.key.sign(signed)
        else:
            r, s = utils.decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
            signature = mpint(r) + mpint(s)
        flags = self.flags if self.sent_flags is None else self.sent_flags
        counter = self.counter if self.sent_counter is None else self.sent_counter
        return string(self.kind) + string(signature) + bytes([flags]) + counter.to_bytes(4, "big")


class Agent:
    """Answers on a socket until it is closed."""

    def __init__(self, path, token):
        self.token, self.listener = token, socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def close(self):
        os.unlink(self.listener.getsockname())
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self, client):
        with client, client.makefile("rb") as stream:
            while len(length := stream.read(4)) == 4:
                client.sendall(string(self.answer(stream.read(int.from_bytes(length, "big")))))

    def answer(self, message):
        failure, identities, identities_answer, sign, sign_answer = 5, 11, 12, 13, 14
        if message[0] == identities:
            return bytes([identities_answer, 0, 0, 0, 1]) + string(self.token.blob) + string("token")
        if message[0] == sign:
            key, rest = self.cut(message[1:])
            data, _ = self.cut(rest)
            # By itself or in a certificate.
            return bytes([sign_answer]) + string(self.token.sign(data)) if key else bytes([failure])
        return bytes([failure])

    @staticmethod
    def cut(data):
        end = 4 + int.from_bytes(data[:4], "big")
        return data[4:end], data[end:]
