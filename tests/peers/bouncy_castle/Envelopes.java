import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPrivateKey;
import java.security.spec.MGF1ParameterSpec;
import java.util.Collection;
import java.util.Set;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSAlgorithm;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSAuthEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSEnvelopedData;
import org.bouncycastle.cms.CMSEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSEnvelopedDataStreamGenerator;
import org.bouncycastle.cms.CMSEnvelopedGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.OriginatorInfoGenerator;
import org.bouncycastle.cms.Recipient;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.RecipientInformationStore;
import org.bouncycastle.cms.SimpleAttributeTableGenerator;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceKEKRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyAgreeEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyTransAuthEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientId;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientId;
import org.bouncycastle.cms.jcajce.JcePasswordRecipientInfoGenerator;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;

/** EnvelopedData and AuthEnvelopedData. */
final class Envelopes {
    /**
     * Fields: recipient (certificates) and method (in the same order), cipher (an OID), keybits, content;
     * form: stream, der, keyid, attributes; material: user keying material; originator: a certificate.
     */
    static byte[] encrypt(Job job) throws Exception {
        Set<String> form = job.words("form");
        ASN1ObjectIdentifier cipher = new ASN1ObjectIdentifier(job.text("cipher"));
        OutputEncryptor encryptor = encryptor(cipher, job);
        CMSProcessableByteArray content = new CMSProcessableByteArray(job.one("content"));
        String encoding = form.contains("der") ? ASN1Encoding.DER : ASN1Encoding.BER;
        if (encryptor instanceof OutputAEADEncryptor) {
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            address(generator, job, form);
            if (form.contains("attributes")) {
                generator.setAuthenticatedAttributeGenerator(
                        new SimpleAttributeTableGenerator(attributes("authenticated")));
                generator.setUnauthenticatedAttributeGenerator(
                        new SimpleAttributeTableGenerator(attributes("not authenticated")));
            }
            CMSAuthEnvelopedData made = generator.generate(content, (OutputAEADEncryptor) encryptor);
            return made.toASN1Structure().getEncoded(encoding);
        }
        if (form.contains("stream")) {
            CMSEnvelopedDataStreamGenerator generator = new CMSEnvelopedDataStreamGenerator();
            address(generator, job, form);
            generator.setBufferSize(1000);
            ByteArrayOutputStream result = new ByteArrayOutputStream();
            try (OutputStream stream = generator.open(result, encryptor)) {
                stream.write(job.one("content"));
            }
            return result.toByteArray();
        }
        CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
        address(generator, job, form);
        if (form.contains("attributes")) {
            generator.setUnprotectedAttributeGenerator(
                    new SimpleAttributeTableGenerator(attributes("unprotected")));
        }
        return generator.generate(content, encryptor).toASN1Structure().getEncoded(encoding);
    }

    private static OutputEncryptor encryptor(ASN1ObjectIdentifier cipher, Job job) throws Exception {
        if (cipher.equals(PKCSObjectIdentifiers.id_alg_AEADChaCha20Poly1305)) {
            return new ChaCha20Poly1305();
        }
        JceCMSContentEncryptorBuilder builder =
                job.has("keybits")
                        ? new JceCMSContentEncryptorBuilder(
                                cipher, Integer.parseInt(job.text("keybits")))
                        : new JceCMSContentEncryptorBuilder(cipher);
        return builder.setProvider("BC").build();
    }

    private static void address(CMSEnvelopedGenerator generator, Job job, Set<String> form)
            throws Exception {
        if (job.has("originator")) {
            X509CertificateHolder own = new X509CertificateHolder(job.one("originator"));
            generator.setOriginatorInfo(new OriginatorInfoGenerator(own).generate());
        }
        for (int number = 0; number < job.all("recipient").size(); number++) {
            String method = new String(job.all("method").get(number), StandardCharsets.US_ASCII);
            X509Certificate certificate = Keys.certificate(job.all("recipient").get(number));
            byte[] material = job.has("material") ? job.one("material") : null;
            generator.addRecipientInfoGenerator(
                    recipient(certificate, method.split(" "), form.contains("keyid"), material));
        }
    }

    /**
     * Methods: "pkcs1", "oaep SHA-256 SHA-1" (hash, mask hash), "ecdh OID OID" (scheme, wrap), "agree
     * OID OID" (likewise, put together here), "password" and "kek" (whatever the certificate).
     */
    private static RecipientInfoGenerator recipient(
            X509Certificate certificate, String[] method, boolean keyid, byte[] material)
            throws Exception {
        switch (method[0]) {
            case "pkcs1":
                if (keyid) {
                    return new JceKeyTransRecipientInfoGenerator(
                                    Keys.keyIdentifier(certificate), certificate.getPublicKey())
                            .setProvider("BC");
                }
                return new JceKeyTransRecipientInfoGenerator(certificate).setProvider("BC");
            case "oaep":
                OAEPParameterSpec parameters =
                        new OAEPParameterSpec(
                                method[1],
                                "MGF1",
                                new MGF1ParameterSpec(method[2]),
                                PSource.PSpecified.DEFAULT);
                return new JceKeyTransRecipientInfoGenerator(
                                certificate,
                                new JcaAlgorithmParametersConverter()
                                        .getAlgorithmIdentifier(
                                                PKCSObjectIdentifiers.id_RSAES_OAEP, parameters))
                        .setProvider("BC");
            case "ecdh":
                return agreeing(certificate, method, keyid, material);
            case "agree":
                return Agreement.writer(certificate, method, material);
            case "password":
                return new JcePasswordRecipientInfoGenerator(
                                CMSAlgorithm.AES256_CBC, "open sesame".toCharArray())
                        .setProvider("BC");
            case "kek":
                SecretKeySpec shared = new SecretKeySpec(new byte[16], "AES");
                return new JceKEKRecipientInfoGenerator(new byte[] {1, 2, 3, 4}, shared)
                        .setProvider("BC");
            default:
                throw new IllegalArgumentException("there is no method " + method[0]);
        }
    }

    private static RecipientInfoGenerator agreeing(
            X509Certificate certificate, String[] method, boolean keyid, byte[] material)
            throws Exception {
        KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", "BC");
        pairs.initialize(((ECPublicKey) certificate.getPublicKey()).getParams());
        KeyPair ephemeral = pairs.generateKeyPair();
        JceKeyAgreeRecipientInfoGenerator generator =
                new JceKeyAgreeRecipientInfoGenerator(
                        new ASN1ObjectIdentifier(method[1]),
                        ephemeral.getPrivate(),
                        ephemeral.getPublic(),
                        new ASN1ObjectIdentifier(method[2]));
        generator.setProvider("BC");
        if (material != null) {
            generator.setUserKeyingMaterial(material);
        }
        if (keyid) {
            return generator.addRecipient(
                    Keys.keyIdentifier(certificate), certificate.getPublicKey());
        }
        return generator.addRecipient(certificate);
    }

    private static AttributeTable attributes(String text) {
        ASN1ObjectIdentifier unknown = new ASN1ObjectIdentifier("1.3.6.1.4.1.32473.2");
        Attribute attribute = new Attribute(unknown, new DERSet(new DERUTF8String(text)));
        return new AttributeTable(new DERSet(attribute));
    }

    /** Fields: cms, key, certificate; method "agree" for what is taken apart here. */
    static byte[] decrypt(Job job) throws Exception {
        byte[] octets = job.one("cms");
        PrivateKey key = Keys.privateKey(job.one("key"));
        X509Certificate certificate = Keys.certificate(job.one("certificate"));
        ContentInfo info = ContentInfo.getInstance(octets);
        boolean authenticated = CMSObjectIdentifiers.authEnvelopedData.equals(info.getContentType());
        RecipientInformationStore store =
                authenticated
                        ? new CMSAuthEnvelopedData(octets).getRecipientInfos()
                        : new CMSEnvelopedData(octets).getRecipientInfos();
        boolean transport = key instanceof RSAPrivateKey;
        Collection<RecipientInformation> found =
                store.getRecipients(
                        transport
                                ? new JceKeyTransRecipientId(certificate)
                                : new JceKeyAgreeRecipientId(certificate));
        if (found.size() != 1) {
            throw new SecurityException(found.size() + " RecipientInfos for the certificate");
        }
        return found.iterator().next().getContent(reader(job, key, transport, authenticated));
    }

    private static Recipient reader(Job job, PrivateKey key, boolean transport, boolean authenticated) {
        if (job.words("method").contains("agree")) {
            return new Agreement(key);
        }
        if (!transport) {
            return new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
        }
        return authenticated
                ? new JceKeyTransAuthEnvelopedRecipient(key).setProvider("BC")
                : new JceKeyTransEnvelopedRecipient(key).setProvider("BC");
    }
}
