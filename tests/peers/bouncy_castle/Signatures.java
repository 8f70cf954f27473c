import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.security.PrivateKey;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.IssuerAndSerialNumber;
import org.bouncycastle.asn1.ess.ContentHints;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.smime.SMIMECapabilitiesAttribute;
import org.bouncycastle.asn1.smime.SMIMECapability;
import org.bouncycastle.asn1.smime.SMIMECapabilityVector;
import org.bouncycastle.asn1.smime.SMIMEEncryptionKeyPreferenceAttribute;
import org.bouncycastle.cert.X509CRLHolder;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.CMSSignedDataStreamGenerator;
import org.bouncycastle.cms.CMSSignedGenerator;
import org.bouncycastle.cms.DefaultSignedAttributeTableGenerator;
import org.bouncycastle.cms.SignerInfoGenerator;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.SignerInformationStore;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;

/** SignedData. */
final class Signatures {
    /**
     * Fields: key and certificate of every signer (several: in the same order), algorithm, content;
     * bag: more certificates; crl; form: opaque, stream, der, plain (no attributes), keyid, hints,
     * countersigned (the second one signs the signature of the first).
     */
    static byte[] sign(Job job) throws Exception {
        Set<String> form = job.words("form");
        CMSSignedGenerator generator =
                form.contains("stream") ? new CMSSignedDataStreamGenerator() : new CMSSignedDataGenerator();
        for (int number = 0; number < job.all("key").size(); number++) {
            if (number == 0 || !form.contains("countersigned")) {
                generator.addSignerInfoGenerator(signer(job, number, form));
            }
            generator.addCertificate(new X509CertificateHolder(job.all("certificate").get(number)));
        }
        for (byte[] certificate : job.all("bag")) {
            generator.addCertificate(new X509CertificateHolder(certificate));
        }
        for (byte[] list : job.all("crl")) {
            generator.addCRL(new X509CRLHolder(list));
        }
        boolean opaque = form.contains("opaque");
        if (generator instanceof CMSSignedDataStreamGenerator) {
            ByteArrayOutputStream result = new ByteArrayOutputStream();
            CMSSignedDataStreamGenerator stream = (CMSSignedDataStreamGenerator) generator;
            stream.setBufferSize(1000);
            try (OutputStream content = stream.open(result, opaque)) {
                content.write(job.one("content"));
            }
            return result.toByteArray();
        }
        CMSSignedData signed =
                ((CMSSignedDataGenerator) generator)
                        .generate(new CMSProcessableByteArray(job.one("content")), opaque);
        if (form.contains("countersigned")) {
            signed = countersigned(signed, job, form);
        }
        return form.contains("der") ? signed.getEncoded(ASN1Encoding.DER) : signed.getEncoded();
    }

    private static SignerInfoGenerator signer(Job job, int number, Set<String> form) throws Exception {
        X509CertificateHolder certificate =
                new X509CertificateHolder(job.all("certificate").get(number));
        PrivateKey key = Keys.privateKey(job.all("key").get(number));
        JcaSimpleSignerInfoGeneratorBuilder builder =
                new JcaSimpleSignerInfoGeneratorBuilder()
                        .setProvider("BC")
                        .setDirectSignature(form.contains("plain"));
        if (form.contains("hints")) {
            builder.setSignedAttributeGenerator(
                    new DefaultSignedAttributeTableGenerator(hints(certificate)));
        }
        String algorithm = job.text("algorithm");
        if (form.contains("keyid")) {
            return builder.build(algorithm, key, Keys.keyIdentifier(certificate));
        }
        return builder.build(algorithm, key, certificate);
    }

    /** Attributes that a mail program adds, and one that nobody knows. */
    private static AttributeTable hints(X509CertificateHolder certificate) {
        SMIMECapabilityVector capabilities = new SMIMECapabilityVector();
        capabilities.addCapability(NISTObjectIdentifiers.id_aes256_GCM);
        capabilities.addCapability(SMIMECapability.aES256_CBC);
        capabilities.addCapability(SMIMECapability.rC2_CBC, 128);
        ASN1EncodableVector attributes = new ASN1EncodableVector();
        attributes.add(new SMIMECapabilitiesAttribute(capabilities));
        attributes.add(
                new SMIMEEncryptionKeyPreferenceAttribute(
                        new IssuerAndSerialNumber(
                                certificate.getIssuer(), certificate.getSerialNumber())));
        attributes.add(
                new Attribute(
                        PKCSObjectIdentifiers.id_aa_contentHint,
                        new DERSet(
                                new ContentHints(
                                        PKCSObjectIdentifiers.data, new DERUTF8String("a mail")))));
        attributes.add(
                new Attribute(
                        new org.bouncycastle.asn1.ASN1ObjectIdentifier("1.3.6.1.4.1.32473.1"),
                        new DERSet(new DERUTF8String("unknown to everybody"))));
        return new AttributeTable(attributes);
    }

    private static CMSSignedData countersigned(CMSSignedData signed, Job job, Set<String> form)
            throws Exception {
        List<SignerInformation> signers = new ArrayList<>();
        for (SignerInformation signer : signed.getSignerInfos().getSigners()) {
            CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
            generator.addSignerInfoGenerator(signer(job, 1, form));
            SignerInformationStore counter = generator.generateCounterSigners(signer);
            signers.add(SignerInformation.addCounterSigners(signer, counter));
        }
        return CMSSignedData.replaceSigners(signed, new SignerInformationStore(signers));
    }

    /** Fields: cms, root; content when it is detached.  Returns what was signed. */
    static byte[] verify(Job job) throws Exception {
        CMSSignedData signed =
                job.has("content")
                        ? new CMSSignedData(
                                new CMSProcessableByteArray(job.one("content")), job.one("cms"))
                        : new CMSSignedData(job.one("cms"));
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.isEmpty()) {
            throw new SecurityException("nobody signed");
        }
        for (SignerInformation signer : signers) {
            X509CertificateHolder certificate = certificateOf(signed, signer);
            if (!signer.verify(
                    new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(certificate))) {
                throw new SecurityException("the signature does not verify");
            }
            follow(signed, Keys.certificate(certificate.getEncoded()), job.one("root"));
        }
        return (byte[]) signed.getSignedContent().getContent();
    }

    private static X509CertificateHolder certificateOf(CMSSignedData signed, SignerInformation signer) {
        @SuppressWarnings("unchecked")
        Collection<X509CertificateHolder> found =
                signed.getCertificates().getMatches(signer.getSID());
        if (found.size() != 1) {
            throw new SecurityException(found.size() + " certificates of the signer");
        }
        return found.iterator().next();
    }

    private static void follow(CMSSignedData signed, X509Certificate certificate, byte[] root)
            throws Exception {
        List<X509Certificate> bag = new ArrayList<>();
        for (X509CertificateHolder each : signed.getCertificates().getMatches(null)) {
            bag.add(Keys.certificate(each.getEncoded()));
        }
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(certificate);
        PKIXBuilderParameters parameters =
                new PKIXBuilderParameters(
                        Set.of(new TrustAnchor(Keys.certificate(root), null)), target);
        parameters.addCertStore(
                CertStore.getInstance("Collection", new CollectionCertStoreParameters(bag), "BC"));
        parameters.setRevocationEnabled(false);
        CertPathBuilder.getInstance("PKIX", "BC").build(parameters);
    }
}
