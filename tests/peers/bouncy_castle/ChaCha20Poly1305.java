import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.operator.GenericKey;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.jcajce.JceGenericKey;

/**
 * RFC 8103 for a generator of AuthEnvelopedData: the provider of Bouncy Castle 1.72 has the cipher,
 * its CMS classes take it for one without authentication.
 */
final class ChaCha20Poly1305 implements OutputAEADEncryptor {
    private static final int TAG_OCTETS = 16;

    private final SecretKeySpec key;
    private final byte[] nonce = new byte[12];
    private final ByteArrayOutputStream additional = new ByteArrayOutputStream();
    private byte[] tag;

    ChaCha20Poly1305() {
        SecureRandom random = new SecureRandom();
        byte[] octets = new byte[32];
        random.nextBytes(octets);
        random.nextBytes(nonce);
        key = new SecretKeySpec(octets, "ChaCha20");
    }

    @Override
    public AlgorithmIdentifier getAlgorithmIdentifier() {
        return new AlgorithmIdentifier(
                PKCSObjectIdentifiers.id_alg_AEADChaCha20Poly1305, new DEROctetString(nonce));
    }

    @Override
    public OutputStream getOutputStream(OutputStream encrypted) {
        return new ByteArrayOutputStream() {
            @Override
            public void close() throws IOException {
                try {
                    Cipher cipher = Cipher.getInstance("ChaCha20-Poly1305", "BC");
                    cipher.init(Cipher.ENCRYPT_MODE, key, new IvParameterSpec(nonce));
                    cipher.updateAAD(additional.toByteArray());
                    byte[] octets = cipher.doFinal(toByteArray());
                    encrypted.write(octets, 0, octets.length - TAG_OCTETS);
                    tag = Arrays.copyOfRange(octets, octets.length - TAG_OCTETS, octets.length);
                } catch (GeneralSecurityException exception) {
                    throw new IOException(exception);
                }
            }
        };
    }

    @Override
    public GenericKey getKey() {
        return new JceGenericKey(getAlgorithmIdentifier(), key);
    }

    @Override
    public OutputStream getAADStream() {
        return additional;
    }

    @Override
    public byte[] getMAC() {
        return tag;
    }
}
