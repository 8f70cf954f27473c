import java.io.IOException;
import java.io.InputStream;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import javax.crypto.Cipher;
import javax.crypto.CipherInputStream;
import javax.crypto.KeyAgreement;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.cms.IssuerAndSerialNumber;
import org.bouncycastle.asn1.cms.KeyAgreeRecipientIdentifier;
import org.bouncycastle.asn1.cms.KeyAgreeRecipientInfo;
import org.bouncycastle.asn1.cms.OriginatorIdentifierOrKey;
import org.bouncycastle.asn1.cms.OriginatorPublicKey;
import org.bouncycastle.asn1.cms.RecipientEncryptedKey;
import org.bouncycastle.asn1.cms.RecipientInfo;
import org.bouncycastle.asn1.cms.ecc.ECCCMSSharedInfo;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSException;
import org.bouncycastle.cms.KeyAgreeRecipient;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.RecipientOperator;
import org.bouncycastle.crypto.Digest;
import org.bouncycastle.crypto.DerivationFunction;
import org.bouncycastle.crypto.generators.HKDFBytesGenerator;
import org.bouncycastle.crypto.generators.KDF2BytesGenerator;
import org.bouncycastle.crypto.params.HKDFParameters;
import org.bouncycastle.crypto.params.KDFParameters;
import org.bouncycastle.crypto.util.DigestFactory;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.operator.InputDecryptor;
import org.bouncycastle.util.Pack;

/**
 * KeyAgreeRecipientInfo of RFC 8418, which the CMS classes of Bouncy Castle 1.72 do not have: put
 * together from its agreement, its derivations and its key wrap.
 */
final class Agreement implements KeyAgreeRecipient {
    private final PrivateKey key;

    Agreement(PrivateKey key) {
        this.key = key;
    }

    static RecipientInfoGenerator writer(X509Certificate certificate, String[] method, byte[] material)
            throws Exception {
        AlgorithmIdentifier wrap = new AlgorithmIdentifier(new ASN1ObjectIdentifier(method[2]));
        AlgorithmIdentifier algorithm =
                new AlgorithmIdentifier(new ASN1ObjectIdentifier(method[1]), wrap);
        PublicKey peer = certificate.getPublicKey();
        KeyPair ephemeral = pair(peer);
        SubjectPublicKeyInfo point =
                SubjectPublicKeyInfo.getInstance(ephemeral.getPublic().getEncoded());
        X509CertificateHolder holder = new X509CertificateHolder(certificate.getEncoded());
        byte[] wrapping = wrapping(ephemeral.getPrivate(), peer, algorithm, material);
        return contentKey -> {
            try {
                Cipher cipher = Cipher.getInstance("AESWrap", "BC");
                cipher.init(Cipher.WRAP_MODE, new SecretKeySpec(wrapping, "AES"));
                Object content = contentKey.getRepresentation();
                byte[] wrapped =
                        cipher.wrap(
                                content instanceof Key
                                        ? (Key) content
                                        : new SecretKeySpec((byte[]) content, "AES"));
                return new RecipientInfo(
                        new KeyAgreeRecipientInfo(
                                new OriginatorIdentifierOrKey(
                                        new OriginatorPublicKey(
                                                new AlgorithmIdentifier(
                                                        point.getAlgorithm().getAlgorithm()),
                                                point.getPublicKeyData().getBytes())),
                                material == null ? null : new DEROctetString(material),
                                algorithm,
                                new DERSequence(
                                        new RecipientEncryptedKey(
                                                new KeyAgreeRecipientIdentifier(
                                                        new IssuerAndSerialNumber(
                                                                holder.getIssuer(),
                                                                holder.getSerialNumber())),
                                                new DEROctetString(wrapped)))));
            } catch (GeneralSecurityException exception) {
                throw new CMSException("cannot wrap", exception);
            }
        };
    }

    private static KeyPair pair(PublicKey peer) throws Exception {
        if (peer instanceof ECPublicKey) {
            KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", "BC");
            pairs.initialize(((ECPublicKey) peer).getParams());
            return pairs.generateKeyPair();
        }
        return KeyPairGenerator.getInstance(peer.getAlgorithm(), "BC").generateKeyPair();
    }

    private static byte[] wrapping(
            PrivateKey own, PublicKey peer, AlgorithmIdentifier algorithm, byte[] material)
            throws GeneralSecurityException, IOException {
        String name = peer instanceof ECPublicKey ? "ECDH" : peer.getAlgorithm();
        KeyAgreement agreement = KeyAgreement.getInstance(name, "BC");
        agreement.init(own);
        agreement.doPhase(peer, true);
        byte[] secret = agreement.generateSecret();
        AlgorithmIdentifier wrap = AlgorithmIdentifier.getInstance(algorithm.getParameters());
        byte[] result = new byte[wrapOctets(wrap)];
        byte[] shared =
                new ECCCMSSharedInfo(wrap, material, Pack.intToBigEndian(8 * result.length))
                        .getEncoded("DER");
        derivation(algorithm.getAlgorithm().getId(), secret, material, shared)
                .generateBytes(result, 0, result.length);
        return result;
    }

    private static int wrapOctets(AlgorithmIdentifier wrap) {
        String identifier = wrap.getAlgorithm().getId();
        return identifier.endsWith(".45") ? 32 : identifier.endsWith(".25") ? 24 : 16;
    }

    private static DerivationFunction derivation(
            String scheme, byte[] secret, byte[] material, byte[] shared) {
        switch (scheme) {
            case "1.2.840.113549.1.9.16.3.19":
                return hkdf(DigestFactory.createSHA256(), secret, material, shared);
            case "1.2.840.113549.1.9.16.3.20":
                return hkdf(DigestFactory.createSHA384(), secret, material, shared);
            case "1.2.840.113549.1.9.16.3.21":
                return hkdf(DigestFactory.createSHA512(), secret, material, shared);
            case "1.3.132.1.11.1":
                return x963(DigestFactory.createSHA256(), secret, shared);
            case "1.3.132.1.11.2":
                return x963(DigestFactory.createSHA384(), secret, shared);
            case "1.3.132.1.11.3":
                return x963(DigestFactory.createSHA512(), secret, shared);
            default:
                throw new IllegalArgumentException("there is no key agreement " + scheme);
        }
    }

    private static DerivationFunction hkdf(
            Digest digest, byte[] secret, byte[] material, byte[] shared) {
        HKDFBytesGenerator generator = new HKDFBytesGenerator(digest);
        generator.init(new HKDFParameters(secret, material, shared));
        return generator;
    }

    private static DerivationFunction x963(Digest digest, byte[] secret, byte[] shared) {
        KDF2BytesGenerator generator = new KDF2BytesGenerator(digest);
        generator.init(new KDFParameters(secret, shared));
        return generator;
    }

    @Override
    public RecipientOperator getRecipientOperator(
            AlgorithmIdentifier algorithm,
            AlgorithmIdentifier contentAlgorithm,
            SubjectPublicKeyInfo sender,
            ASN1OctetString material,
            byte[] encryptedKey)
            throws CMSException {
        try {
            byte[] own = PrivateKeyInfo.getInstance(key.getEncoded()).getPrivateKeyAlgorithm().getEncoded();
            SubjectPublicKeyInfo complete =
                    new SubjectPublicKeyInfo(
                            AlgorithmIdentifier.getInstance(own), sender.getPublicKeyData().getBytes());
            PublicKey peer = new JcaPEMKeyConverter().setProvider("BC").getPublicKey(complete);
            byte[] octets = material == null ? null : material.getOctets();
            Cipher unwrap = Cipher.getInstance("AESWrap", "BC");
            unwrap.init(
                    Cipher.UNWRAP_MODE,
                    new SecretKeySpec(wrapping(key, peer, algorithm, octets), "AES"));
            Key contentKey = unwrap.unwrap(encryptedKey, "AES", Cipher.SECRET_KEY);
            Cipher cipher = Cipher.getInstance("AES/CBC/PKCS5Padding", "BC");
            byte[] vector = ASN1OctetString.getInstance(contentAlgorithm.getParameters()).getOctets();
            cipher.init(Cipher.DECRYPT_MODE, contentKey, new IvParameterSpec(vector));
            return new RecipientOperator(
                    new InputDecryptor() {
                        @Override
                        public AlgorithmIdentifier getAlgorithmIdentifier() {
                            return contentAlgorithm;
                        }

                        @Override
                        public InputStream getInputStream(InputStream encrypted) {
                            return new CipherInputStream(encrypted, cipher);
                        }
                    });
        } catch (GeneralSecurityException | IOException exception) {
            throw new CMSException("cannot unwrap", exception);
        }
    }

    @Override
    public AlgorithmIdentifier getPrivateKeyAlgorithmIdentifier() {
        return PrivateKeyInfo.getInstance(key.getEncoded()).getPrivateKeyAlgorithm();
    }
}
